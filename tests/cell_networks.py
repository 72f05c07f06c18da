"""Spaces, supernets, logits and samples of cells, for tests that need no whole search."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from snas_tune.config import SearchConfig
from snas_tune.search.sampling import gumbel_noise, log_concrete
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import CellSupernet, SearchCell
from snas_tune.space.choices import one_hot
from snas_tune.training.seeds import generator_for


def candidates_of(
    config: SearchConfig, *, image_size: int, image_channels: int, classes: int
) -> Candidates:
    """The candidates of a config on images of that shape."""
    skeleton = Skeleton(
        config.cells,
        config.channels,
        config.stem,
        image_size,
        image_channels,
        classes,
        config.partial_channels,
    )
    return Candidates(skeleton, config.nodes, config.ops)


def supernet_of(
    candidates: Candidates, cell: Callable[..., nn.Module] = SearchCell, seed: int = 0
) -> CellSupernet:
    """A supernet in float64 and training mode, the same for the same seed."""
    torch.manual_seed(seed)
    return CellSupernet(candidates, cell).double().train()


def spread_logits(candidates: Candidates, seed: int = 0, spread: float = 1.0) -> Tensor:
    """Logits ``(C, K)`` in float64, drawn around 0, that ask for a gradient."""
    shape = (len(candidates.choices), len(candidates.ops))
    noise = torch.randn(shape, generator=generator_for(seed, "logits", 0), dtype=torch.float64)
    return (spread * noise).requires_grad_()


def gumbel_softmax(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A concrete sample of every row, with gradient to the logits."""
    return log_concrete(logits, temperature, gumbel_noise(logits.shape, generator)).exp()


def genotype_of_logits(logits: Tensor, candidates: Candidates) -> Genotype:
    """The genotype of the largest logit of every choice."""
    return candidates.genotype(logits.argmax(-1).tolist())


def one_hot_of(genotype: Genotype, candidates: Candidates) -> Tensor:
    """The sample ``(C, K)`` in float64 under which the supernet is that genotype's child."""
    return one_hot(candidates.picks(genotype), candidates.choices).double()
