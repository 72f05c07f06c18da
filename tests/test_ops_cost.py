"""Every op written out again from its definition: what it computes, and what that costs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from snas_tune.space.cell.cost import layer_cost
from snas_tune.space.cell.genotype import NONE
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.ops import OPS, FactorisedReduce, build_op

C = 4

# Of every op with weights: its convolutions as (kernel height, width, dilation, depthwise), in the
# groups that begin with a ReLU and end with a batch norm.
HALVES = {
    **{f"sep_conv_{k}x{k}": [[(k, k, 1, True), (1, 1, 1, False)]] * 2 for k in (3, 5, 7)},
    **{f"dil_conv_{k}x{k}": [[(k, k, 2, True), (1, 1, 1, False)]] for k in (3, 5)},
    **{f"conv_{k}x1_1x{k}": [[(1, k, 1, False), (k, 1, 1, False)]] for k in (3, 7)},
    **{f"nor_conv_{k}x{k}": [[(k, k, 1, False)]] for k in (1, 3)},
}


def strides(name: str, half: int, stride: int) -> list[tuple[int, int]]:
    """Where an op strides: at its first convolution, or each factor along its own axis."""
    if half:
        return [(1, 1), (1, 1)]
    if name.startswith("conv_"):
        return [(1, stride), (stride, 1)]
    return [(stride, stride), (1, 1)]


def whiten(x: torch.Tensor) -> torch.Tensor:
    """Batch norm of a training batch, without weights."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def reference(name, op, x, stride):
    """The op from its definition, with the convolution weights of ``op`` in order."""
    weights = iter([p for p in op.parameters() if p.dim() == 4])
    for i, half in enumerate(HALVES[name]):
        x = x.relu()
        for (height, width, dilation, depthwise), step in zip(
            half, strides(name, i, stride), strict=False
        ):
            padding = (dilation * (height // 2), dilation * (width // 2))
            groups = C if depthwise else 1
            x = F.conv2d(x, next(weights), None, step, padding, dilation, groups)
        x = whiten(x)
    assert next(weights, None) is None
    return x


def batch(side):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, C, side, side, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", HALVES)
def test_a_convolution_computes_its_definition(name, stride, side):
    op = build_op(name, C, stride, affine=False).double()
    expected = reference(name, op, batch(side), stride)
    torch.testing.assert_close(op(batch(side)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("side", [5, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["max_pool_3x3", "avg_pool_3x3"])
def test_pooling_looks_at_the_pixels_inside_the_image_only(name, stride, side, affine):
    x = batch(side)
    rows = range(0, side, stride)
    pick = {"max_pool_3x3": lambda w: w.amax((2, 3)), "avg_pool_3x3": lambda w: w.mean((2, 3))}
    expected = torch.stack(
        [
            torch.stack(
                [pick[name](x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]) for j in rows],
                dim=-1,
            )
            for i in rows
        ],
        dim=-2,
    )
    found = build_op(name, C, stride, affine=affine).double()(x)
    torch.testing.assert_close(found, expected if affine else whiten(expected))


def test_a_skip_is_the_identity_and_none_is_nothing():
    x = batch(5)
    assert torch.equal(build_op("skip_connect", C, 1, affine=False).double()(x), x)
    assert torch.equal(build_op(NONE, C, 2, affine=False)(x), torch.zeros(3, C, 3, 3).double())


@pytest.mark.parametrize(("side", "channels_out"), [(6, 4), (7, 4), (5, 3)])
def test_halving_sees_even_pixels_with_one_half_of_the_channels_and_odd_with_the_other(
    side, channels_out
):
    op = FactorisedReduce(C, channels_out, affine=False).double()
    x, out = batch(side).relu(), (side + 1) // 2
    expected = torch.zeros(3, channels_out, out, out, dtype=torch.float64)
    first = channels_out // 2
    for i in range(out):
        for j in range(out):
            expected[:, :first, i, j] = x[:, :, 2 * i, 2 * j] @ op.even.weight[:, :, 0, 0].T
            if 2 * i + 1 < side and 2 * j + 1 < side:  # behind an odd side lie zeros
                odd = x[:, :, 2 * i + 1, 2 * j + 1] @ op.odd.weight[:, :, 0, 0].T
                expected[:, first:, i, j] = odd
    torch.testing.assert_close(op(batch(side)), whiten(expected))


@pytest.mark.parametrize("name", OPS)
def test_every_op_maps_zeros_to_zeros_as_searched(name):
    """What :meth:`snas_tune.space.cell.genotype.Cell.live` relies on, in either mode."""
    for stride in (1, 2):
        op = build_op(name, C, stride, affine=False).double()
        for mode in (op.train(), op.eval()):
            assert not mode(torch.zeros(3, C, 6, 6, dtype=torch.float64)).any()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", HALVES)
def test_a_convolution_costs_what_its_kernels_say(name, stride, side, affine):
    params = flops = 0
    height = width = side
    memory = 0

    def layer(weights, before):
        nonlocal memory
        memory += weights + C * before + C * height * width

    for i, half in enumerate(HALVES[name]):
        layer(0, height * width)
        for (rows, columns, _, depthwise), (down, across) in zip(
            half, strides(name, i, stride), strict=False
        ):
            weights = rows * columns * C * (1 if depthwise else C)
            before = height * width
            height, width = -(-height // down), -(-width // across)
            params += weights
            flops += weights * height * width
            layer(weights, before)
        params += 2 * C * affine
        layer(2 * C * affine, height * width)
    found = layer_cost(LayerSpec("op", name, C, C, side, stride), affine)
    assert found == {"flops": flops, "params": params, "memory": memory}


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["max_pool_3x3", "avg_pool_3x3"])
def test_pooling_costs_memory_only_and_its_batch_norm_more_of_it(name, stride, side):
    before, after = C * side**2, C * (-(-side // stride)) ** 2
    for affine, memory in ((True, before + after), (False, before + 3 * after)):
        found = layer_cost(LayerSpec("op", name, C, C, side, stride), affine)
        assert found == {"flops": 0, "params": 0, "memory": memory}


def test_stems_preprocessing_and_classifier_cost_what_their_shapes_say():
    def cost(*part):
        found = layer_cost(LayerSpec(*part))
        return found["params"], found["flops"]

    assert cost("stem", "cifar", 3, 12, 8) == (3 * 12 * 9 + 24, 3 * 12 * 9 * 64)
    assert cost("stem", "imagenet_early", 3, 8, 16, 4) == (
        3 * 4 * 9 + 4 * 8 * 9 + 2 * (4 + 8),
        3 * 4 * 9 * 64 + 4 * 8 * 9 * 16,
    )
    assert cost("stem", "imagenet_late", 8, 8, 8, 2) == (8 * 8 * 9 + 16, 8 * 8 * 9 * 16)
    assert cost("preprocess", "1x1", 12, 4, 8) == (48, 48 * 64)
    assert cost("preprocess", "1x1", 12, 4, 8, 2) == (48, 48 * 16)
    assert cost("classifier", "linear", 16, 5, 2) == (16 * 5 + 5, 16 * 5)
