"""How much memory a search takes, estimated from steps of a few images before it starts.

Peak memory of a step is a + b x batch size. So two steps with small batches, in which every tensor
is followed from its making to its end, give a and b, and with them the peak of the config's batch.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snas_tune.config import SearchConfig
from snas_tune.search.search import Search

BATCHES = (2, 4)
"""Images of the two steps."""

DRAWS = 8
"""Steps of each size where the sample decides which ops run; the worst of them counts."""

MIB = 2**20

PROCESS = 500 * MIB
"""What a trial's process takes before its search is built: Python, torch, Ray and this package."""

HELD = 1.15
"""What the process grows by in a step, over what is allocated at once: torch and the C library keep
freed blocks. With :data:`WORKSPACE` chosen on seven searches on a CPU; tests compare the estimate
with what real ones take."""

WORKSPACE = 50 * MIB
"""What a process takes for its first step besides: code, and the buffers of matrix products."""

CONTEXT = 500 * MIB
"""What CUDA takes of a GPU for each process. A rule of thumb; not measured here."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a search takes."""

    images: int
    """The training and the validation images, which each process has by itself."""

    step: int
    """The worst moment of a step: activations, gradients and the optimisers' state."""

    weights: int
    """The supernet."""

    @property
    def on_cpu(self) -> int:
        """Of the machine's memory, by a trial that runs on its CPU."""
        return PROCESS + WORKSPACE + int(HELD * self._tensors)

    @property
    def on_gpu(self) -> int:
        """Of a GPU, by a trial that runs there."""
        return CONTEXT + int(HELD * self._tensors)

    @property
    def _tensors(self) -> int:
        return self.images + self.weights + self.step


def footprint(search: Search) -> Footprint:
    """Estimate what a search will take, by two steps of it on a few images.

    Args:
        search: a new one, on a CPU. It is used up.
    """
    config = search.config
    data = (search.data.train, search.data.validation)
    images = sum(_bytes(part.pixels) for part in data)
    weights = sum(map(_bytes, search.supernet.state_dict().values()))
    few, more = BATCHES
    low, high = (_step_peak(search, images) for images in BATCHES)
    slope = max(0, high - low) / (more - few)
    return Footprint(images, int(high + slope * (config.batch_size - more)), weights)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _step_peak(search: Search, images: int) -> int:
    """The most bytes of tensors made in a step that are there at once."""
    search.config = SearchConfig.from_dict({**search.config.to_dict(), "batch_size": images})
    search.step = 0  # so that the draws are the same for both sizes
    # The optimisers' state is made in the first step: so that it counts, it is dropped.
    for optimiser in search.method.optimisers:
        optimiser.state.clear()
        optimiser.zero_grad()
    allocations = _Allocations()
    with allocations:
        for _ in range(1 if search.config.sampling == "concrete" else min(DRAWS, search.steps)):
            search.take_step()
    return allocations.most


class _Allocations(TorchDispatchMode):
    """Follows the storage of every tensor that an operator returns inside the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._follow(made.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now -= size
