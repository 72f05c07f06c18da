"""The messages of a node's out-edges, through the kernels.

With ``d`` the depthwise output of an op's last stage, ``M`` and ``b`` its matrix and bias (see
:mod:`snas_tune.space.cell.fused.stage`; the sample's weight ``Z`` is within both), ``u`` the result
of a shared op and ``n`` that of a pool, the message of edge ``e`` is one sum over its ops that run:

    message_e = sum_q (d_eq M_eq + b_eq) + sum_j Z_ej u_j + sum_j Z_ej n_j,    (pixels, C)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snas_tune.space.cell.fused.saved import Saved
from snas_tune.space.cell.fused.stage import Stage
from snas_tune.space.cell.fused.weights import EdgeOp
from snas_tune.space.cell.kernels import bindings
from snas_tune.space.cell.kernels.bindings import Result, plane
from snas_tune.space.cell.kernels.buffers import BUFFERS


def messages(saved: Saved) -> list[Tensor]:
    """The messages ``(B, C, H', W')`` of the edges in ``saved.ends``; the stages are saved."""
    weights = saved.weights
    # Row e is sum_q b_eq: every stage that ends in a message adds to the row of its edge.
    bias = torch.zeros(weights.edges, weights.channels, dtype=torch.float64)
    if saved.separable_runs:
        _run_stages(saved, bias)
    ranks = {e: i for i, e in enumerate(saved.ends)}
    terms = [
        saved.term(ranks[e], stage.output(e, q), stage.matrices[e, q].data_ptr(), 0.0)
        for stage, e, q in saved.last_stages()
    ]
    scalars = saved.shared.tolist()
    for e, j in saved.shared_runs:
        if saved.pools and j in saved.pools.ranks:
            terms.append(saved.pools.term(ranks[e], j, scalars[e][j]))
        else:
            terms.append(saved.term(ranks[e], saved.shared_plane(j), None, scalars[e][j]))
    made = [saved.empty() for _ in saved.ends]
    results = [
        Result(plane(message), bias[e].data_ptr())
        for e, message in zip(saved.ends, made, strict=True)
    ]
    bindings.call("mix", saved.dtype, saved.out_shape, results, terms)
    return [saved.image(message) for message in made]


def _run_stages(saved: Saved, bias: Tensor) -> None:
    """Everything up to the last matrices; the biases of the messages are added to ``bias``."""
    weights, twice = saved.weights, saved.weights.two_stage
    # The first stage of two is not weighted, the second is: message += Z stage_2(stage_1(x)).
    factors = saved.separable.clone()
    factors[:, :twice] = 1
    between = torch.zeros(weights.edges, twice, weights.channels, dtype=torch.float64)
    biases = {(e, q): between[e, q] if q < twice else bias[e] for e, q in saved.separable_runs}
    first = Stage(weights, 0, saved.separable_runs, saved.source, saved.in_shape, factors, biases)
    saved.stages.append(first)
    onward = [run for run in saved.separable_runs if run[1] < twice]
    if onward:
        planes = _between(saved, first, onward, between)
        factors, biases = saved.separable[:, :twice], {(e, q): bias[e] for e, q in onward}
        second = Stage(weights, 1, onward, planes, saved.out_shape, factors, biases)
        saved.stages.append(second)


def _between(saved: Saved, first: Stage, onward: Sequence[EdgeOp], bias: Tensor) -> Tensor:
    """The results of first stages, ``d M + b``; the second stages rectify as they load them."""
    shape = (len(onward), first.pixels, saved.weights.channels)
    planes = BUFFERS.take(shape, saved.dtype)
    results = [Result(plane(planes, i), bias[run].data_ptr()) for i, run in enumerate(onward)]
    terms = [
        saved.term(i, first.output(*run), first.matrices[run].data_ptr(), 0.0)
        for i, run in enumerate(onward)
    ]
    bindings.call("mix", saved.dtype, saved.out_shape, results, terms)
    return planes
