"""Precise RoI Pooling in plain tensor operations: exact, and differentiable twice in features and boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def prroi_pool(features: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float) -> Tensor:
    """Mean of the bilinearly interpolated, zero-padded features over every bin of every region (SPEC section 2).

    Each region takes a copy of its image's features; for many boxes an image use `prroi_pool_grouped`.

    Args:
        features: [N, C, H, W].
        rois: [R, 5] (image index, x1, y1, x2, y2), corners in image pixels. The gradient of the index is zero.
        output_size: number of bins, one figure or (h, w).
        spatial_scale: feature cells per image pixel, such as 1/16. Cell i lies at coordinate i.

    Returns:
        [R, C, h, w]. Regions without a positive width and height give zeros.

    Raises:
        ValueError: a wrong shape or a non-positive `output_size`.
        IndexError: an image index outside 0 .. N-1.
    """
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise ValueError(f"rois must have shape [R, 5] (image index, x1, y1, x2, y2), not {list(rois.shape)}")
    return prroi_pool_grouped(features[rois[:, 0].long()], rois[:, None, 1:], output_size, spatial_scale)[:, 0]


def prroi_pool_grouped(
    features: Tensor, boxes: Tensor, output_size: int | tuple[int, int], spatial_scale: float
) -> Tensor:
    """Precise RoI Pooling of M boxes in each image, without copying features per box.

    The integral is separable: two batched matrix products with the mean weights of the bins along x and along y.
    The weights are computed in float32 or better, the products in the features' type.

    Args:
        features: [N, C, H, W].
        boxes: [N, M, 4] (x1, y1, x2, y2) in image pixels.
        output_size: number of bins, one figure or (h, w).
        spatial_scale: feature cells per image pixel, such as 1/8. Cell i lies at coordinate i.

    Returns:
        [N, M, C, h, w] (a permuted view). Boxes without a positive width and height give zeros.

    Raises:
        ValueError: a wrong shape or a non-positive `output_size`.
    """
    bins_y, bins_x = (output_size, output_size) if isinstance(output_size, int) else output_size
    if bins_y < 1 or bins_x < 1:
        raise ValueError(f"output_size must be positive, not {output_size}")
    if features.dim() != 4:
        raise ValueError(f"features must have shape [N, C, H, W], not {list(features.shape)}")
    if boxes.dim() != 3 or boxes.shape[0] != features.shape[0] or boxes.shape[2] != 4:
        raise ValueError(f"boxes must have shape [{features.shape[0]}, M, 4], not {list(boxes.shape)}")
    images, channels, height, width = features.shape
    count = boxes.shape[1]

    weights_x, weights_y = _box_weights(boxes * spatial_scale, (bins_x, bins_y), (width, height), features.dtype)
    # x first: its result is laid out so that the contraction over y needs no copy of this largest tensor.
    rows = weights_x.reshape(images, count * bins_x, width) @ features.reshape(
        images, channels * height, width
    ).transpose(1, 2)
    rows = rows.reshape(images, count, bins_x * channels, height)
    pooled = (rows @ weights_y.transpose(2, 3)).reshape(images, count, bins_x, channels, bins_y)
    return pooled.permute(0, 1, 3, 4, 2)


def _box_weights(
    boxes: Tensor, bins: tuple[int, int], cells: tuple[int, int], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Weights [N, M, bins, cells] along x and along y of boxes [N, M, 4] in cells; zero along x for empty boxes."""
    precise = torch.promote_types(torch.promote_types(boxes.dtype, dtype), torch.float32)
    corners = boxes.to(precise).movedim(-1, 0)
    start, length = corners[:2], corners[2:] - corners[:2]
    # NaN is not empty: it must show in the result. Lengths whose square underflows have no usable gradient.
    empty = (length <= torch.finfo(precise).tiny ** 0.5).any(0)
    length = torch.where(empty, torch.ones_like(length), length)
    if bins[0] == bins[1] and cells[0] == cells[1]:
        along_x, along_y = bin_weights(start, length, bins[0], cells[0])
    else:
        along_x, along_y = (bin_weights(start[axis], length[axis], bins[axis], cells[axis]) for axis in (0, 1))
    along_x = along_x.masked_fill(empty[..., None, None], 0)
    return along_x.to(dtype), along_y.to(dtype)


def bin_weights(start: Tensor, length: Tensor, bins: int, cells: int) -> Tensor:
    """Mean over each bin of the hat function max(0, 1 - |t - i|) of every cell i.

    Written in fractions of a bin, so that a bin within one cell costs no cancellation however small it is.

    Args:
        start, length: [...] of the interval, in cells; length > 0.
        bins: number of equal bins in the interval.
        cells: number of cells, at 0 .. cells-1.

    Returns:
        [..., bins, cells]; a row sums to 1 where its bin lies within [0, cells - 1].
    """
    bin_length = (length / bins)[..., None, None]
    order = torch.arange(bins, dtype=start.dtype, device=start.device)[:, None]
    cell = torch.arange(cells, dtype=start.dtype, device=start.device)
    offset = start[..., None, None] + order * bin_length - cell
    # The hat rises where offset + fraction * bin_length is in [-1, 0] and falls in [0, 1].
    enter = ((-1 - offset) / bin_length).clamp(0, 1)
    peak = (-offset / bin_length).clamp(0, 1)
    leave = ((1 - offset) / bin_length).clamp(0, 1)
    rising = (peak - enter) * (1 + offset + 0.5 * bin_length * (enter + peak))
    falling = (leave - peak) * (1 - offset - 0.5 * bin_length * (peak + leave))
    return rising + falling
