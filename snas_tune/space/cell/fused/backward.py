"""The gradients of a node's out-edges, through the kernels.

With ``L`` the loss, ``N`` pixels, and ``g_e = dL/dmessage_e``, ``(N, C)``, the forward pass of
:mod:`snas_tune.space.cell.fused.forward` has, for every op that runs:

    dL/dM_eq = d_eq^T g_e,    dL/db_eq = sum_p g_e[p],    dL/dd_eq = g_e M_eq^T + moments' part
    dL/dZ_ej = sum_p,c g_e[p, c] u_j[p, c],    dL/du_j = sum_e Z_ej g_e

Everything else follows from these, backwards through the stages. Sums over the pixels are float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snas_tune.space.cell.fused.saved import Saved, rows_of
from snas_tune.space.cell.kernels import bindings
from snas_tune.space.cell.kernels.bindings import Pair, Result, plane
from snas_tune.space.cell.kernels.buffers import BUFFERS


@dataclass(frozen=True, slots=True, eq=False)
class PixelSums:
    """Sums over the pixels of products with the messages' gradients."""

    matrices: list[Tensor]
    """By stage, ``dL/dM``, ``(E, Q, C, C)``; those between the stages are filled in later."""

    biases: Tensor
    """``dL/db``, ``(E, C)``."""

    inner: Tensor
    """``sum_p g_e u_j``, channel by channel, ``(E, J, C)``."""


@dataclass(frozen=True, slots=True, eq=False)
class StageGrads:
    """Gradients that the stages pass back."""

    source: Tensor | None
    """Of the node, ``(pixels, C)``."""

    sample: Tensor
    """Of the sample of the separable ops, ``(E, Q)``, float64."""

    parameters: list[Tensor]
    """In the order of ``EdgeWeights.parameters``."""


def gradients(saved: Saved, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of the node, of both samples, of ``made`` and of ``EdgeWeights.parameters``.

    Args:
        saved: by the forward pass.
        grads: of the messages of ``saved.ends``, ``(B, C, H', W')``.
    """
    rows = {e: rows_of(grad) for e, grad in zip(saved.ends, grads, strict=True)}
    sums = _pixel_sums(saved, rows)
    stages = _stages_backward(saved, rows, sums)
    source, shared = stages.source, sums.inner.sum(-1)
    if saved.pools:
        source = torch.zeros_like(saved.source) if source is None else source
        _pools_backward(saved, rows, sums, source, shared)
    source = _identities_backward(saved, rows, source)
    if source is not None:
        batch, channels, height, width = saved.size
        source = source.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return (
        source,
        stages.sample.to(saved.sample_type),
        shared.to(saved.sample_type),
        *_made_backward(saved, rows),
        *stages.parameters,
    )


def _pixel_sums(saved: Saved, rows: Mapping[int, Tensor]) -> PixelSums:
    """All sums over the pixels that need the messages' gradients alone, in one call."""
    edges, channels = saved.weights.edges, saved.weights.channels
    sums = PixelSums(
        [torch.empty(stage.matrices.shape, dtype=torch.float64) for stage in saved.stages],
        torch.zeros(edges, channels, dtype=torch.float64),
        torch.zeros(*saved.shared.shape, channels, dtype=torch.float64),
    )
    pairs = []
    for stage, e, q in saved.last_stages():  # d^T g
        products = sums.matrices[stage.index][e, q].data_ptr()
        pairs.append(Pair(stage.output(e, q), plane(rows[e]), products=products))
    for e, row in rows.items():  # sum_p g: the same for all ops of the edge
        pairs.append(Pair(plane(row), plane(row), sums=sums.biases[e].data_ptr()))
    for e, j in saved.shared_runs:  # sum_p g u
        inner = sums.inner[e, j].data_ptr()
        pairs.append(Pair(saved.shared_plane(j), plane(rows[e]), inner=inner))
    bindings.call("cross", saved.dtype, saved.out_shape, pairs)
    return sums


def _stages_backward(saved: Saved, rows: Mapping[int, Tensor], sums: PixelSums) -> StageGrads:
    """Backwards through the second stages, the planes between, and the first stages."""
    weights, twice = saved.weights, saved.weights.two_stage
    sample = torch.zeros(weights.edges, weights.ops, dtype=torch.float64)
    parameters = [
        [] if i < len(saved.stages) else [torch.zeros_like(p) for p in stage.parameters()]
        for i, stage in enumerate(weights.stages)
    ]
    if not saved.stages:
        return StageGrads(None, sample, [*parameters[0], *parameters[1]])
    first = saved.stages[0]
    behind = {(e, q): plane(rows[e]) for e, q in first.runs}  # dL/dz of every first stage
    biases = sums.biases.unsqueeze(1).repeat(1, weights.ops, 1)  # a copy: some are overwritten
    between = None
    for second in saved.stages[1:]:
        between = BUFFERS.take(tuple(second.source.shape), saved.dtype)
        grads = [plane(rows[e]) for e, _ in second.runs]
        sample[:, :twice], parameters[1] = second.backward(between, grads, sums.matrices[1], biases)
        behind |= {run: plane(between, i) for i, run in enumerate(second.runs)}
        _between_sums(saved, between, sums.matrices[0], biases)
    source = torch.empty_like(first.source)
    factors, parameters[0] = first.backward(source, list(behind.values()), sums.matrices[0], biases)
    sample[:, twice:] = factors[:, twice:]  # before a second stage the factor is 1, no sample
    if between is not None:
        BUFFERS.give(between)
    return StageGrads(source, sample, [*parameters[0], *parameters[1]])


def _between_sums(saved: Saved, grad: Tensor, matrices: Tensor, biases: Tensor) -> None:
    """``dL/dM = d^T v`` and ``dL/db = sum_p v`` of first stages before a second one.

    Args:
        saved: by the forward pass.
        grad: ``v``, the gradient of the first stages' results, ``(runs, pixels, C)``.
        matrices: ``(E, Q, C, C)``, written.
        biases: ``(E, Q, C)``, written.
    """
    first, second = saved.stages
    pairs = [
        Pair(
            first.output(*run),
            plane(grad, i),
            products=matrices[run].data_ptr(),
            sums=biases[run].data_ptr(),
        )
        for i, run in enumerate(second.runs)
    ]
    bindings.call("cross", saved.dtype, saved.out_shape, pairs)


def _pools_backward(
    saved: Saved, rows: Mapping[int, Tensor], sums: PixelSums, source: Tensor, shared: Tensor
) -> None:
    """Add to the gradients of the node and of the shared ops' sample."""
    assert saved.pools
    ranks = list(saved.pools.ranks)
    # dL/dZ_ej = sum_p,c g_e n_j: of the normalised pool, not of the pool as it is saved.
    normalised = saved.pools.normalised(sums.inner[:, ranks], sums.biases)
    normalised *= saved.shared_mask[:, ranks].unsqueeze(-1)
    shared[:, ranks] = normalised.sum(-1)
    ran = [(e, j) for e, j in saved.shared_runs if j in saved.pools.ranks]
    factors = saved.shared[:, ranks]
    saved.pools.backward(source, rows, ran, factors, normalised, sums.biases)


def _identities_backward(
    saved: Saved, rows: Mapping[int, Tensor], source: Tensor | None
) -> Tensor | None:
    """The gradient of the node with the skip connections' part, ``sum_e Z_ej g_e``."""
    scalars = saved.shared.tolist()
    terms = [
        saved.term(0, plane(rows[e]), None, scalars[e][j])
        for e, j in saved.shared_runs
        if j in saved.identities
    ]
    if not terms:
        return source
    if source is None:
        source = torch.empty_like(saved.source)
    else:
        terms.append(saved.term(0, plane(source), None, 1.0))
    bindings.call("mix", saved.dtype, saved.out_shape, [Result(plane(source))], terms)
    return source


def _made_backward(saved: Saved, rows: Mapping[int, Tensor]) -> list[Tensor]:
    """``dL/du_j = sum_e Z_ej g_e`` of the shared ops that torch computed."""
    if not saved.made:
        return []
    made = [saved.empty() for _ in saved.made]
    ranks = {j: i for i, j in enumerate(saved.made)}
    scalars = saved.shared.tolist()
    terms = [
        saved.term(ranks[j], plane(rows[e]), None, scalars[e][j])
        for e, j in saved.shared_runs
        if j in ranks
    ]
    results = [Result(plane(grad)) for grad in made]
    bindings.call("mix", saved.dtype, saved.out_shape, results, terms)
    return [saved.image(grad) for grad in made]
