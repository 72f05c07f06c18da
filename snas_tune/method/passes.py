"""How long a search's forward and backward pass takes in each form of the supernet.

The pass is taken part by part at the search's own shapes and batch, on random images. Cells of one
kind (type and width, with which the side goes) are the same work, so one stands for all of its
kind. By parts, because a whole supernet in one form may need thrice the memory that another needs:
to measure the one must not end a search that would run in the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from snas_tune.config import SearchConfig
from snas_tune.genotype import cell_edges
from snas_tune.method.fan_half import BUFFERS
from snas_tune.method.fast import FastCell
from snas_tune.method.parts import Frame, Part, example
from snas_tune.method.runtime import Runtime
from snas_tune.method.supernet import SearchCell, full_plan
from snas_tune.plan import CellPlan

ROUNDS = 3
"""Passes of a form that is not out before."""

BEHIND = 1.5
"""A form that takes more than that many times the seconds of the fastest is out."""

LONG = 1.0
"""Seconds of a warm-up that are many beside what makes a first pass slow."""

BRIEF = 0.1
"""Seconds of the slowest pass of a net so small that one timed round is enough."""

PATIENCE = 10.0
"""Seconds after which no further round begins."""


def measure_forms(
    runtimes: Sequence[Runtime], config: SearchConfig, frame: Frame
) -> dict[str, float]:
    """Seconds of a pass by form: the median of passes that the forms take in turn.

    A form that is out was given up as soon as that was clear, so its seconds are at least those.
    Torch's random state, gradient mode and threads stay as they are.

    Args:
        runtimes: one for each form, the one first that is likely to be the fastest.
        config: of the search, for batch, nodes and ops.
        frame: of its supernet.
    """
    start = time.perf_counter()
    with _leaving_no_trace(runtimes[0].device):
        passes = {runtime.form: Pass(runtime, config, frame) for runtime in runtimes}
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
    """A part of the supernet, how often it has it, and what it is called with."""

    count: int
    module: nn.Module
    arguments: tuple[Any, ...]
    leaves: list[Tensor]
    """What the backward pass gives a gradient."""


class Pass:
    """A forward and backward pass of a supernet in the form of a runtime."""

    def __init__(self, runtime: Runtime, config: SearchConfig, frame: Frame) -> None:
        self.runtime, self.batch = runtime, config.batch_size
        self.generator = torch.Generator().manual_seed(0)
        plans = full_plan(frame, config.nodes)
        kinds: dict[tuple[bool, int], list[CellPlan]] = {}
        for plan in plans:
            kinds.setdefault((plan.reduction, plan.channels), []).append(plan)
        # The first cells of a network read the stem, so the last of a kind is the usual one.
        cells = [self._cell(len(alike), alike[-1], config, frame) for alike in kinds.values()]
        last = frame.classifier(config.nodes * plans[-1].channels, plans[-1])
        ends = [(part, True) for _, part in frame.stem_stages()] + [(last, False)]
        self.pieces = [*cells, *(self._end(part, affine) for part, affine in ends)]

    def _cell(self, count: int, plan: CellPlan, config: SearchConfig, frame: Frame) -> Piece:
        build = FastCell if self.runtime.fast else SearchCell
        reads = [frame.preprocess(plan, source) for source in plan.sources if source is not None]
        inputs = [self._images(part).requires_grad_() for part in reads]
        shape = (len(cell_edges(config.nodes)), len(config.ops))
        sample = torch.rand(shape, generator=self.generator).softmax(-1)
        sample = sample.to(self.runtime.device).requires_grad_()
        cell = self.runtime.place(build(frame, plan, config.ops))
        leaves = [*cell.parameters(), *inputs, sample]
        return Piece(count, cell, (inputs, sample, None), leaves)

    def _end(self, part: Part, affine: bool) -> Piece:
        module, images = self.runtime.place(part.build(affine=affine)), self._images(part)
        return Piece(1, module, (images,), [*module.parameters()])

    def _images(self, part: Part) -> Tensor:
        shape = example(part, "meta", self.batch).shape
        images = torch.randn(shape, generator=self.generator).to(self.runtime.device)
        if self.runtime.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def seconds(self, limit: float) -> float:
        """Take the pass, each piece once, and count each as often as the supernet has it.

        Above the limit the pass is given up, and its seconds are those so far.
        """
        total = 0.0
        for piece in self.pieces:
            total += piece.count * self._time(piece)
            if total > limit:
                break
        return total

    def _time(self, piece: Piece) -> float:
        self._wait()
        start = time.perf_counter()
        with self.runtime.numerics():
            output = piece.module(*piece.arguments)
        # Ops of the user's may have weights that they do not use.
        torch.autograd.grad(output, piece.leaves, torch.ones_like(output), allow_unused=True)
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.runtime.device.type == "cuda":
            torch.cuda.synchronize(self.runtime.device)
