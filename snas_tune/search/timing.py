"""How long a search's forward and backward pass takes in each form of the supernet.

The pass is taken part by part at the search's own shapes and batch, on random images. Cells of one
kind (type and width, with which the side goes) are the same work, so one stands for all of its
kind. By parts, because a whole supernet in one form may need thrice the memory that another needs:
to measure the one must not end a search that would run in the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf

import torch
from torch import Tensor, nn

from snas_tune.config import SearchConfig
from snas_tune.search.sampling import Draw, draw_architecture, gumbel_noise
from snas_tune.space.cell.fused.cell import FusedCell
from snas_tune.space.cell.kernels.buffers import BUFFERS
from snas_tune.space.cell.layers import LayerSpec, example
from snas_tune.space.cell.plan import CellPlan
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import SearchCell, Supernet, full_plan
from snas_tune.training.runtime import Runtime

ROUNDS = 3
"""Passes of a form that is not out before."""

BEHIND = 1.5
"""A form that takes more than that many times the seconds of the fastest is out."""

LONG = 1.0
"""Seconds of a warm-up that are many beside what makes a first pass slow."""

BRIEF = 0.1
"""Seconds of the slowest pass of a net so small that one timed round is enough."""

DRAWS = 8
"""Samples of the architecture that a pass is the mean of where a sample decides which ops run."""

PATIENCE = 10.0
"""Seconds after which no further round begins."""


def measure_forms(
    runtimes: Sequence[Runtime], config: SearchConfig, skeleton: Skeleton
) -> dict[str, float]:
    """Seconds of a pass by form: the median of passes that the forms take in turn.

    A form that is out was given up as soon as that was clear, so its seconds are at least those.
    Torch's random state, gradient mode and threads stay as they are.

    Args:
        runtimes: one for each form, the one first that is likely to be the fastest.
        config: of the search.
        skeleton: of its supernet.
    """
    start = time.perf_counter()
    with _leaving_no_trace(runtimes[0].device):
        passes = {runtime.form: Pass(runtime, config, skeleton) for runtime in runtimes}
        taken = _first_round(passes)
        for _ in range(1, ROUNDS):
            middle = {form: statistics.median(times) for form, times in taken.items()}
            best = min(middle.values())
            running = [form for form, seconds in middle.items() if seconds <= BEHIND * best]
            spent = time.perf_counter() - start
            if len(running) == 1 or max(middle.values()) < BRIEF or spent > PATIENCE:
                break
            for form in running:
                taken[form].append(passes[form].seconds(BEHIND * best))
    return {form: statistics.median(times) for form, times in taken.items()}


def _first_round(passes: Mapping[str, Pass]) -> dict[str, list[float]]:
    """A pass of each form behind a warm-up.

    A long warm-up is the pass, but not that of the first form: the native kernels, which come
    first, then fetch the memory of their buffers, half as much again.
    """
    best, taken = inf, dict[str, list[float]]()
    for form, one in passes.items():
        seconds = one.seconds(max(LONG, BEHIND * best))
        if seconds < LONG or not taken:
            seconds = one.seconds(BEHIND * best)
        best = min(best, seconds)
        taken[form] = [seconds]
    return taken


@contextmanager
def _leaving_no_trace(device: torch.device) -> Iterator[None]:
    """Gradients on; afterwards random state, gradient mode and free memory are as they were."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []), torch.enable_grad():
        yield
    BUFFERS.clear()
    if on_gpu:
        torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the supernet, and how it is called."""

    count: int
    """How many parts of the supernet it stands for."""

    module: nn.Module
    forward: Sequence[Callable[[], Tensor]]
    """Its forward pass under each of some samples of the architecture, which take turns."""

    inputs: Sequence[Tensor]
    """What gets a gradient besides the module's weights."""


class Pass:
    """A forward and backward pass of a supernet in the form of a runtime."""

    def __init__(self, runtime: Runtime, config: SearchConfig, skeleton: Skeleton) -> None:
        self.runtime, self.batch = runtime, config.batch_size
        self.generator = torch.Generator().manual_seed(0)
        self.net = Supernet(config, skeleton, FusedCell if runtime.fast else SearchCell)
        runtime.place(self.net)
        plans = full_plan(skeleton, config.nodes)
        alike: dict[tuple[bool, int], list[int]] = {}
        for i, plan in enumerate(plans):
            alike.setdefault((plan.reduction, plan.channels), []).append(i)
        draws = [self._draw(config) for _ in range(1 if config.sampling == "concrete" else DRAWS)]
        # The first cells of a network read the stem, so the last of a kind is the usual one.
        cells = [self._cell(len(each), each[-1], plans, draws) for each in alike.values()]
        stages = [part for _, part in skeleton.stem_stages()]
        last = skeleton.classifier(config.nodes * plans[-1].channels, plans[-1])
        stem = [self._end(m, part) for m, part in zip(self.net.stem, stages, strict=True)]
        self.pieces = [*cells, *stem, self._end(self.net.classifier, last)]

    def _draw(self, config: SearchConfig) -> Draw:
        logits = self.net.logits.detach().cpu()
        noise = gumbel_noise(logits.shape, self.generator)
        return draw_architecture(logits, 1.0, noise, config.sampling, config.sampled_ops)

    def _cell(
        self, count: int, index: int, plans: Sequence[CellPlan], draws: Sequence[Draw]
    ) -> Piece:
        plan, kind = plans[index], self.net.kinds[index]
        parts = [self.net.skeleton.preprocess(plan, s) for s in plan.sources if s is not None]
        inputs = [self._images(part).requires_grad_() for part in parts]
        samples = [
            draw.sample[kind].to(self.runtime.device, self.runtime.dtype).requires_grad_()
            for draw in draws
        ]
        forward = [
            partial(
                self.net.run_cell, index, *inputs, sample, None, draw.active and draw.active[kind]
            )
            for sample, draw in zip(samples, draws, strict=True)
        ]
        return Piece(count, self.net.cells[index], forward, [*inputs, *samples])

    def _end(self, module: nn.Module, part: LayerSpec) -> Piece:
        return Piece(1, module, [partial(module, self._images(part))], [])

    def _images(self, part: LayerSpec) -> Tensor:
        shape = example(part, "meta", self.batch).shape
        images = torch.randn(shape, generator=self.generator, dtype=self.runtime.dtype)
        images = images.to(self.runtime.device)
        if self.runtime.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def seconds(self, limit: float) -> float:
        """Take the pass, each piece once, and count each as often as the supernet has it.

        Of several samples it is the mean. Above the limit the pass is given up, and its seconds are
        those so far.
        """
        total = 0.0
        for piece in self.pieces:
            total += piece.count * statistics.fmean(self._time(piece, f) for f in piece.forward)
            if total > limit:
                break
        return total

    def _time(self, piece: Piece, forward: Callable[[], Tensor]) -> float:
        for tensor in (*piece.module.parameters(), *piece.inputs):
            tensor.grad = None
        self._wait()
        start = time.perf_counter()
        with self.runtime.numerics():
            output = forward()
        if output.requires_grad:  # not where no op runs
            output.backward(torch.ones_like(output))
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.runtime.device.type == "cuda":
            torch.cuda.synchronize(self.runtime.device)
