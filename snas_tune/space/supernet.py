"""Supernet: the network that holds every option, as a search sees it.

Shapes: ``B`` images, ``C`` choices, ``K`` options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from snas_tune.space.choices import Active

Drawn = tuple[Tensor, Active | None]
"""A sample ``(C, K)``, and the options that run under it; all of them if not given."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a supernet whose time is measured by itself."""

    count: int
    """How many equal parts of the supernet it stands for."""

    module: nn.Module
    forward: Sequence[Callable[[], Tensor]]
    """Its forward pass under each of some samples, which take turns."""

    inputs: Sequence[Tensor]
    """Tensors that get a gradient besides the module's weights."""


class Supernet(nn.Module, ABC):
    """The network that holds every option. Its parameters are weights; logits are the method's."""

    paths: tuple[int, ...] = ()
    """Shape of the paths that drop path may drop in an image; empty where a space has none."""

    @abstractmethod
    def forward(
        self,
        images: Tensor,
        sample: Tensor,
        keep: Tensor | None = None,
        active: Active | None = None,
    ) -> Tensor:
        """Class logits ``(B, classes)`` of a batch under one sample.

        Args:
            images: shape ``(B, channels, side, side)``, normalised.
            sample: weight of every option, ``(C, K)``. Under a one-hot sample the supernet is the
                child of those options.
            keep: drop path, shape ``(*paths, B)``: the factor of a path of an image, 0 or
                ``1 / (1 - probability)``; no drop path if not given.
            active: the options that run, as if the others weighed nothing; all if not given.
        """

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight and statistic as a view, under names that all implementations share."""
        yield from self.state_dict().items()

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights and statistics by the names of :meth:`named_tensors`; others stay."""
        with torch.no_grad():
            for name, mine in self.named_tensors():
                if name in tensors:
                    mine.copy_(tensors[name])

    def pieces(self, samples: Sequence[Drawn], images: Callable[..., Tensor]) -> list[Piece]:
        """The parts whose time makes that of the whole, for the choice of an implementation.

        Args:
            samples: under which the parts run in turn.
            images: makes a random batch of ``images(channels, side)``, or, without arguments, one
                of the search's own shape.
        """
        batch = images()
        device, dtype = batch.device, batch.dtype
        forward = [
            partial(self.forward, batch, sample.to(device, dtype), None, active)
            for sample, active in samples
        ]
        return [Piece(1, self, forward, [])]
