"""Precise RoI Pooling: golden numbers, the integral's properties, gradients, and small bins in float32."""

from __future__ import annotations

import math

import pytest
import torch
from golden import load_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ltr.ops import prroi_pool as module
from ltr.ops.prroi_pool import bin_weights, prroi_pool, prroi_pool_grouped

GOLDEN = load_golden("prroi_pool")
PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)


def random_features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_boxes(images: int, count: int, extent: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Boxes that lie in and around [0, extent], some of them inverted."""
    corners = torch.rand(images, count, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    ordered = corners.sort(dim=2).values
    ordered[:, -1:] = corners[:, -1:]
    return (ordered * 1.4 - 0.2).flatten(2) * extent


def interior_boxes(low: float, high: float) -> st.SearchStrategy[Tensor]:
    """One box [1, 1, 4] within [low, high], from tiny to large."""
    place = st.floats(0, 1)
    side = st.floats(1e-3, 1)

    def make(values: tuple[float, float, float, float]) -> Tensor:
        x, y, w, h = values
        left, top = low + x * (1 - w) * (high - low), low + y * (1 - h) * (high - low)
        return torch.tensor([[[left, top, left + w * (high - low), top + h * (high - low)]]], dtype=torch.float64)

    return st.tuples(place, place, side, side).map(make)


@pytest.mark.parametrize("bins", [1, 3, 4, 5])
def test_equals_golden(bins: int) -> None:
    features = torch.from_numpy(GOLDEN["feat"]).requires_grad_()
    rois = torch.from_numpy(GOLDEN["rois"]).requires_grad_()
    pooled = prroi_pool(features, rois, bins, float(GOLDEN["spatial_scale"]))
    pooled.backward(torch.from_numpy(GOLDEN[f"upstream_{bins}x{bins}"]))
    for name, value in (("out", pooled), ("grad_feat", features.grad), ("grad_rois", rois.grad)):
        expected = torch.from_numpy(GOLDEN[f"{name}_{bins}x{bins}"])
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def test_equals_a_fine_midpoint_rule() -> None:
    """Against bilinear samples of the zero-padded map, taken by torch, on a grid of 400 x 400 points a bin."""
    features = random_features(1, 2, 6, 7)
    box = torch.tensor([[[-1.7, 0.6, 4.3, 6.2]]], dtype=torch.float64)
    padded = functional.pad(features, (3, 3, 3, 3))
    fine, bins = 400, 3

    def points(low: float, high: float, cells: int) -> Tensor:
        middle = low + (torch.arange(bins * fine, dtype=torch.float64) + 0.5) / (bins * fine) * (high - low)
        return 2 * (middle + 3) / (cells + 5) - 1

    rows, columns = points(0.6, 6.2, 6), points(-1.7, 4.3, 7)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
    samples = functional.grid_sample(padded, grid, mode="bilinear", align_corners=True)
    expected = functional.avg_pool2d(samples, fine)
    torch.testing.assert_close(prroi_pool_grouped(features, box, bins, 1.0)[:, 0], expected, rtol=0, atol=1e-5)


@given(interior_boxes(-3, 20), st.floats(-3, 3), st.integers(1, 4))
@PROPERTY
def test_linear_in_the_features(box: Tensor, factor: float, bins: int) -> None:
    first, second = random_features(1, 2, 9, 11), random_features(1, 2, 9, 11, seed=1)

    def pool(features: Tensor) -> Tensor:
        return prroi_pool_grouped(features, box, bins, 0.5)

    torch.testing.assert_close(
        pool(factor * first + second), factor * pool(first) + pool(second), rtol=1e-10, atol=1e-11
    )


@given(interior_boxes(0, 8), st.integers(1, 5))
@PROPERTY
def test_an_affine_map_gives_the_value_at_the_bin_centres(box: Tensor, bins: int) -> None:
    rows, columns = torch.meshgrid(torch.arange(9.0).double(), torch.arange(9.0).double(), indexing="ij")
    features = torch.stack((torch.full_like(rows, 3.5), 2 * rows - 0.5 * columns + 1))[None]
    pooled = prroi_pool_grouped(features, box, bins, 1.0)[0, 0]
    left, top, right, bottom = box[0, 0]
    middle = (torch.arange(bins).double() + 0.5) / bins
    x, y = left + middle * (right - left), top + middle * (bottom - top)
    torch.testing.assert_close(pooled[0], torch.full((bins, bins), 3.5).double(), rtol=1e-11, atol=0)
    torch.testing.assert_close(pooled[1], 2 * y[:, None] - 0.5 * x + 1, rtol=1e-10, atol=1e-10)


@given(interior_boxes(-2, 9), st.integers(0, 4), st.integers(0, 4), st.integers(1, 4))
@PROPERTY
def test_moves_with_the_features(box: Tensor, down: int, right: int, bins: int) -> None:
    features = functional.pad(random_features(1, 3, 8, 8), (0, 4, 0, 4))
    moved = features.roll((down, right), (2, 3))
    shift = torch.tensor([right, down, right, down])
    torch.testing.assert_close(
        prroi_pool_grouped(moved, box + shift, bins, 1.0),
        prroi_pool_grouped(features, box, bins, 1.0),
        rtol=1e-9,
        atol=1e-10,
    )


@given(interior_boxes(-3, 12), st.integers(1, 4), st.integers(1, 4))
@PROPERTY
def test_splitting_a_box_into_bins_keeps_its_mean(box: Tensor, rows: int, columns: int) -> None:
    features = random_features(1, 3, 9, 10)
    whole = prroi_pool_grouped(features, box, 1, 1.0)
    parts = prroi_pool_grouped(features, box, (rows, columns), 1.0)
    assert parts.shape == (1, 1, 3, rows, columns)
    torch.testing.assert_close(parts.mean((-2, -1), keepdim=True), whole, rtol=1e-9, atol=1e-11)


def test_a_bin_is_the_pooled_part_of_the_box() -> None:
    features = random_features(1, 2, 9, 9)
    bins = prroi_pool_grouped(features, torch.tensor([[[1.0, 2.0, 7.0, 8.0]]]).double(), (2, 3), 1.0)
    part = prroi_pool_grouped(features, torch.tensor([[[5.0, 2.0, 7.0, 5.0]]]).double(), 1, 1.0)
    torch.testing.assert_close(bins[..., 0, 2], part[..., 0, 0])


@pytest.mark.parametrize("bins", [(3, 3), (2, 4)])
def test_gradients_of_first_and_second_order(bins: tuple[int, int]) -> None:
    """At boxes whose bins do not end on a cell, where the second derivative jumps."""
    features = random_features(2, 2, 5, 6).requires_grad_()
    boxes = torch.tensor(
        [[[0.3, 0.6, 3.43, 4.27], [-1.4, 1.2, 2.3, 7.1]], [[2.2, 2.3, 2.9, 2.8], [3.1, 4.0, 1.2, 2.2]]]
    )
    boxes = boxes.double().requires_grad_()

    def pool(features: Tensor, boxes: Tensor) -> Tensor:
        return prroi_pool_grouped(features, boxes, bins, 1.0)

    assert torch.autograd.gradcheck(pool, (features, boxes))
    assert torch.autograd.gradgradcheck(pool, (features, boxes))


def test_gradcheck_by_regions() -> None:
    features = random_features(2, 2, 5, 6).requires_grad_()
    rois = torch.tensor([[1, 0.3, 0.6, 3.43, 4.27], [0, -1.4, 1.2, 2.3, 7.1]]).double()
    corners = rois[:, 1:].clone().requires_grad_()

    def pool(features: Tensor, corners: Tensor) -> Tensor:
        return prroi_pool(features, torch.cat((rois[:, :1], corners), 1), 3, 1.0)

    assert torch.autograd.gradcheck(pool, (features, corners))
    assert torch.autograd.gradgradcheck(pool, (features, corners))


@pytest.mark.parametrize("output_size", [3, (2, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_grouped_equals_region_by_region(output_size: int | tuple[int, int], layout: torch.memory_format) -> None:
    features = random_features(3, 4, 10, 13).contiguous(memory_format=layout)
    boxes = random_boxes(3, 6, 100)
    grouped = prroi_pool_grouped(features, boxes, output_size, 1 / 8)
    index = torch.arange(3.0).double().repeat_interleave(6)[:, None]
    single = prroi_pool(features, torch.cat((index, boxes.flatten(0, 1)), 1), output_size, 1 / 8)
    torch.testing.assert_close(grouped.flatten(0, 1), single, rtol=0, atol=1e-13)
    assert (grouped != 0).any() and (grouped == 0).any()


def pooled_with_gradients(features: Tensor, boxes: Tensor) -> list[Tensor]:
    features, boxes = features.clone().requires_grad_(), boxes.clone().requires_grad_()
    pooled = prroi_pool_grouped(features, boxes, 3, 1 / 8)
    upstream = random_features(*pooled.shape, seed=9)
    return [pooled, *torch.autograd.grad(pooled, (features, boxes), upstream)]


@pytest.mark.parametrize("piece_bytes", [1, 9_000, 40_000])
def test_pieces_make_the_whole(piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, boxes = random_features(3, 4, 10, 12), random_boxes(3, 7, 90)
    whole = pooled_with_gradients(features, boxes)
    monkeypatch.setattr(module, "_PIECE_BYTES", {"cpu": piece_bytes, "accelerator": piece_bytes})
    for found, expected in zip(pooled_with_gradients(features, boxes), whole):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_looking_only_where_the_boxes_are_changes_nothing() -> None:
    """A box over the whole map makes the pooling look everywhere."""
    features = random_features(1, 3, 30, 40)
    near = torch.tensor([[[100.0, 60, 150, 130], [90, 70, 160, 140], [150, 130, 100, 60]]]).double()
    everywhere = torch.tensor([[[-50.0, -50, 400, 400]]]).double()
    alone = prroi_pool_grouped(features, near, 3, 1 / 8)
    together = prroi_pool_grouped(features, torch.cat((near, everywhere), 1), 3, 1 / 8)
    torch.testing.assert_close(alone, together[:, :3], rtol=0, atol=1e-13)
    beyond = near + 1000
    assert (prroi_pool_grouped(features, beyond, 3, 1 / 8) == 0).all()
    assert (prroi_pool_grouped(features, -beyond, 3, 1 / 8) == 0).all()


def test_empty_boxes_give_zeros_and_finite_gradients() -> None:
    features = random_features(1, 2, 8, 8, dtype=torch.float32).requires_grad_()
    x, tiny = 3.0, 1e-30
    boxes = torch.tensor([[[x, 2, x, 5], [5, 5, 2, 2], [x, 5, 6, 2], [0, 0, tiny, 1], [9, 9, 12, 12]]])
    boxes.requires_grad_()
    pooled = prroi_pool_grouped(features, boxes, 2, 1.0)
    assert (pooled == 0).all()
    for gradient in torch.autograd.grad(pooled.sum(), (features, boxes)):
        assert (gradient == 0).all()


def test_a_nan_box_shows_and_spoils_no_other() -> None:
    features = random_features(1, 2, 8, 8)
    boxes = torch.tensor([[[1.0, 1, 4, 4], [math.nan, 1, 4, 4], [2, 2, 5, 6]]]).double()
    pooled = prroi_pool_grouped(features, boxes, 2, 1.0)
    assert pooled[0, 1].isnan().all()
    torch.testing.assert_close(pooled[:, [0, 2]], prroi_pool_grouped(features, boxes[:, [0, 2]], 2, 1.0))


@pytest.mark.parametrize("length", [1e-6, 1e-3, 0.1, 5.0])
def test_small_bins_keep_float32_precision(length: float) -> None:
    start = torch.linspace(-1.5, 40.5, 997)
    lengths = torch.full_like(start, length)
    exact = bin_weights(start.double(), lengths.double(), 5, 40)
    torch.testing.assert_close(bin_weights(start, lengths, 5, 40).double(), exact, rtol=0, atol=3e-6)


def test_mean_slope_of_a_small_bin_keeps_float32_precision() -> None:
    """On a ramp the derivative in the box's place is the slope, and in its side half of it."""
    ramp = torch.arange(40.0).expand(1, 1, 40, 40) * 7
    for side in (1e-4, 1e-2, 3.0):
        start = torch.tensor([[[17.3, 12.2, 17.3, 12.2]]])
        box = (start + torch.tensor([0, 0, side, side])).requires_grad_()
        (gradient,) = torch.autograd.grad(prroi_pool_grouped(ramp, box, 1, 1.0).sum(), box)
        torch.testing.assert_close(gradient, torch.tensor([[[3.5, 0, 3.5, 0]]]), rtol=1e-3, atol=1e-3)


@given(st.floats(0, 12), st.floats(1e-4, 6), st.integers(1, 5))
@PROPERTY
def test_weights_within_the_map_sum_to_one(start: float, length: float, bins: int) -> None:
    weights = bin_weights(torch.tensor(start).double(), torch.tensor(length).double(), bins, 19)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(bins).double(), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_lower_precision_features(dtype: torch.dtype, tolerance: float) -> None:
    features = random_features(2, 8, 18, 18)
    boxes = random_boxes(2, 10, 288)
    exact = prroi_pool_grouped(features, boxes, 5, 1 / 16)
    found = prroi_pool_grouped(features.to(dtype), boxes.float(), 5, 1 / 16)
    assert found.dtype == dtype
    assert (found.double() - exact).abs().max() < tolerance * exact.abs().max()


def test_no_boxes_and_no_images() -> None:
    features = random_features(2, 3, 8, 8)
    assert prroi_pool_grouped(features, torch.zeros(2, 0, 4).double(), 3, 1.0).shape == (2, 0, 3, 3, 3)
    assert prroi_pool(features, torch.zeros(0, 5).double(), 3, 1.0).shape == (0, 3, 3, 3)


def test_bad_shapes_are_refused() -> None:
    features = random_features(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"rois must have shape \[R, 5\] .* not \[2, 4\]"):
        prroi_pool(features, torch.zeros(2, 4), 3, 1.0)
    with pytest.raises(IndexError):
        prroi_pool(features, torch.tensor([[2.0, 0, 0, 1, 1]]), 3, 1.0)
    with pytest.raises(ValueError, match=r"features must have shape \[N, C, H, W\]"):
        prroi_pool_grouped(features[0], torch.zeros(1, 1, 4), 3, 1.0)
    with pytest.raises(ValueError, match=r"boxes must have shape \[2, M, 4\], not \[1, 5, 4\]"):
        prroi_pool_grouped(features, torch.zeros(1, 5, 4), 3, 1.0)
    with pytest.raises(ValueError, match="output_size must be positive, not 0"):
        prroi_pool_grouped(features, torch.zeros(2, 5, 4), 0, 1.0)
