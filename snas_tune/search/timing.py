"""How long a search's forward and backward pass takes in each implementation of its supernet.

The pass is taken piece by piece at the search's own shapes and batch, on random images, because a
whole supernet in one implementation may need thrice the memory that another needs: to measure the
one must not end a search that would run in the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from snas_tune.config import SearchConfig
from snas_tune.search.sampling import draw_architecture, gumbel_noise
from snas_tune.space.choices import option_mask
from snas_tune.space.space import Implementation, Space
from snas_tune.space.supernet import Drawn, Piece
from snas_tune.training.runtime import Runtime

ROUNDS = 3
"""Passes of an implementation that is not out before."""

BEHIND = 1.5
"""An implementation that takes more than that many times the seconds of the fastest is out."""

LONG = 1.0
"""Seconds of a warm-up that are many beside what makes a first pass slow."""

BRIEF = 0.1
"""Seconds of the slowest pass of a net so small that one timed round is enough."""

DRAWS = 8
"""Samples of the architecture that a pass is the mean of where a sample decides which ops run."""

PATIENCE = 10.0
"""Seconds after which no further round begins."""


def measure_seconds(
    space: Space, runtime: Runtime, config: SearchConfig, implementations: Sequence[Implementation]
) -> dict[str, float]:
    """Seconds of a pass by implementation: the median of passes that they take in turn.

    One that is out was given up as soon as that was clear, so its seconds are at least those.
    Torch's random state, gradient mode and threads stay as they are.

    Args:
        space: of the search.
        runtime: of the search, in any memory format.
        config: of the search.
        implementations: the one first that is likely to be the fastest.
    """
    start = time.perf_counter()
    with _leaving_no_trace(space, runtime.device):
        passes = {
            str(each): Pass(space, replace(runtime, channels_last=each.channels_last), config, each)
            for each in implementations
        }
        taken = _first_round(passes)
        for _ in range(1, ROUNDS):
            middle = {name: statistics.median(times) for name, times in taken.items()}
            best = min(middle.values())
            running = [name for name, seconds in middle.items() if seconds <= BEHIND * best]
            spent = time.perf_counter() - start
            if len(running) == 1 or max(middle.values()) < BRIEF or spent > PATIENCE:
                break
            for name in running:
                taken[name].append(passes[name].seconds(BEHIND * best))
    return {name: statistics.median(times) for name, times in taken.items()}


def _first_round(passes: Mapping[str, Pass]) -> dict[str, list[float]]:
    """A pass of each name behind a warm-up.

    A long warm-up is the pass, but not that of the first one: the native kernels, which come
    first, then fetch the memory of their buffers, half as much again.
    """
    best, taken = inf, dict[str, list[float]]()
    for name, one in passes.items():
        seconds = one.seconds(max(LONG, BEHIND * best))
        if seconds < LONG or not taken:
            seconds = one.seconds(BEHIND * best)
        best = min(best, seconds)
        taken[name] = [seconds]
    return taken


@contextmanager
def _leaving_no_trace(space: Space, device: torch.device) -> Iterator[None]:
    """Gradients on; afterwards random state, gradient mode and free memory are as they were."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []), torch.enable_grad():
        yield
    space.release()
    if on_gpu:
        torch.cuda.empty_cache()


class Pass:
    """A forward and backward pass of a supernet in one implementation."""

    def __init__(
        self, space: Space, runtime: Runtime, config: SearchConfig, implementation: Implementation
    ) -> None:
        self.space, self.runtime, self.batch = space, runtime, config.batch_size
        self.generator = torch.Generator().manual_seed(0)
        net = space.supernet(implementation.name)
        runtime.place(net)
        samples = [
            self._sample(config) for _ in range(1 if config.sampling == "concrete" else DRAWS)
        ]
        self.pieces = net.pieces(samples, self._images)

    def _sample(self, config: SearchConfig) -> Drawn:
        mask = option_mask(self.space.choices)
        logits = torch.zeros(mask.shape).masked_fill(~mask, -inf)
        noise = gumbel_noise(logits.shape, self.generator)
        draw = draw_architecture(logits, 1.0, noise, config.sampling, config.sampled_ops)
        return draw.sample.to(self.runtime.device, self.runtime.dtype), draw.active

    def _images(self, channels: int | None = None, side: int | None = None) -> Tensor:
        """Random images, or feature maps of that shape."""
        own = self.space.images
        shape = (self.batch, channels or own.channels, side or own.size, side or own.size)
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
