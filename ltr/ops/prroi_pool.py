"""Precise RoI Pooling in plain tensor operations: exact, and differentiable twice in features and boxes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

_PIECE_BYTES = {"cpu": 4 * 2**20, "accelerator": 256 * 2**20}


def prroi_pool(features: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float) -> Tensor:
    """Mean of the bilinearly interpolated, zero-padded features over every bin of every region.

    Source: docs/reference.md, section 2.

    Each region takes a copy of its image's features; for many boxes an image use `prroi_pool_grouped`.

    Args:
        features: [N, C, H, W].
        rois: [R, 5] (image index, x1, y1, x2, y2), corners in image pixels. The gradient of the index is zero.
        output_size, spatial_scale: as for `prroi_pool_grouped`.

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

    The integral is separable: two batched matrix products with the mean weights of the bins along y and along x.
    The weights are computed in float32 or better, the products in the features' type.

    Args:
        features: [N, C, H, W]; channels-last memory saves a copy.
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
    precise = torch.promote_types(torch.promote_types(boxes.dtype, features.dtype), torch.float32)
    boxes = boxes.to(precise) * spatial_scale
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if features.device.type == "cpu" and not traced:
        features, boxes = _crop_to_boxes(features, boxes)
    height, width = features.shape[2:]
    weights_x, weights_y = _box_weights(boxes, (bins_x, bins_y), (width, height), features.dtype)
    return _contract(features.permute(0, 2, 3, 1).contiguous(), weights_y, weights_x).permute(0, 1, 4, 2, 3)


def _crop_to_boxes(features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The part of the features [N, C, H, W] that boxes [N, M, 4] in cells reach, and the boxes in its coordinates.

    Online, all boxes lie around one target, in a small part of the search region. Not for a GPU, which would wait.
    """
    corners = boxes.detach().reshape(-1, 2, 2)
    if len(corners) == 0 or not corners.isfinite().all():
        return features, boxes
    low, high = corners.amin((0, 1)).floor().tolist(), corners.amax((0, 1)).ceil().tolist()
    ranges = []
    for cells, first, last in zip((features.shape[3], features.shape[2]), low, high):
        start = int(min(max(first, 0), cells - 1))
        ranges.append((start, int(min(max(last + 1, start + 1), cells))))
    (left, right), (top, bottom) = ranges
    return features[:, :, top:bottom, left:right], boxes - boxes.new_tensor([left, top, left, top])


def _contract(features: Tensor, weights_y: Tensor, weights_x: Tensor) -> Tensor:
    """Weighted sums over y, then over x, of features [N, H, W, C]; weights [N, M, bins, cells] -> [N, M, h, w, C].

    The result over y alone is bins x W x C figures a box, far larger than all else: it is made in pieces that stay in
    a CPU's cache, or that leave a GPU its memory.
    """
    images, _, width, channels = features.shape
    count, bins_y = weights_y.shape[1:3]
    budget = _PIECE_BYTES["cpu" if features.device.type == "cpu" else "accelerator"]
    boxes = max(1, budget // max(1, bins_y * width * channels * features.element_size()))
    if count * images <= boxes:
        return _contract_piece(features, weights_y, weights_x)
    per_image = max(1, min(boxes, count))
    together = max(1, boxes // max(1, count))
    rows = []
    pieces = zip(features.split(together), weights_y.split(together), weights_x.split(together))
    for part, along_y, along_x in pieces:
        row = [
            _contract_piece(part, *weights)
            for weights in zip(along_y.split(per_image, dim=1), along_x.split(per_image, dim=1))
        ]
        rows.append(row[0] if len(row) == 1 else torch.cat(row, dim=1))
    return torch.cat(rows)


def _contract_piece(features: Tensor, weights_y: Tensor, weights_x: Tensor) -> Tensor:
    images, height, width, channels = features.shape
    count, bins_y = weights_y.shape[1:3]
    along_y = weights_y.reshape(images, count * bins_y, height) @ features.reshape(images, height, width * channels)
    return weights_x.unsqueeze(2) @ along_y.reshape(images, count, bins_y, width, channels)


def _box_weights(
    boxes: Tensor, bins: tuple[int, int], cells: tuple[int, int], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Weights [N, M, bins, cells] along x and along y of boxes [N, M, 4] in cells."""
    start, end = boxes.unflatten(-1, (2, 2)).permute(3, 0, 1, 2).unbind(-1)
    length = end - start
    if bins[0] == bins[1]:
        along_x, along_y = bin_weights(start, length, bins[0], max(cells)).to(dtype)
        return along_x[..., : cells[0]], along_y[..., : cells[1]]
    along_x, along_y = (bin_weights(start[axis], length[axis], bins[axis], cells[axis]).to(dtype) for axis in (0, 1))
    return along_x, along_y


def bin_weights(start: Tensor, length: Tensor, bins: int, cells: int) -> Tensor:
    """Mean over each bin of the hat function max(0, 1 - |t - i|) of every cell i.

    Args:
        start, length: [...] of the interval, in cells.
        bins: number of equal bins in the interval.
        cells: number of cells, at 0 .. cells-1.

    Returns:
        [..., bins, cells]; a row sums to 1 where its bin lies within [0, cells - 1]. Zero where length <= 0.
    """
    if start.requires_grad or length.requires_grad:
        return _BinWeights.apply(start, length, bins, cells)
    return _weights(_crossings(start, length, bins, cells))


class _Crossings(NamedTuple):
    """Where in each bin, from 0 to 1, the hat of each cell starts to rise, peaks and ends; all [..., bins, cells].

    In fractions of a bin nothing cancels, however small the bin is.
    """

    enter: Tensor
    peak: Tensor
    leave: Tensor
    offset: Tensor  # of the bin's start from the cell
    bin_length: Tensor  # [..., 1, 1]
    order: Tensor  # [bins]
    empty: Tensor  # [...]


def _crossings(start: Tensor, length: Tensor, bins: int, cells: int) -> _Crossings:
    # NaN is not empty: it must show in the result. Lengths whose square underflows have no usable gradient.
    empty = length <= torch.finfo(length.dtype).tiny ** 0.5
    order = torch.arange(bins, dtype=start.dtype, device=start.device)
    bin_length = (length.masked_fill(empty, bins) / bins)[..., None, None]
    cell = torch.arange(cells, dtype=start.dtype, device=start.device)
    offset = start[..., None, None] + order[:, None] * bin_length - cell
    enter, peak, leave = (((place - offset) / bin_length).clamp(0, 1) for place in (-1, 0, 1))
    return _Crossings(enter, peak, leave, offset, bin_length, order, empty)


def _weights(at: _Crossings) -> Tensor:
    half = 0.5 * at.bin_length
    rising = (at.peak - at.enter) * (1 + at.offset + half * (at.enter + at.peak))
    falling = (at.leave - at.peak) * (1 - at.offset - half * (at.peak + at.leave))
    return (rising + falling).masked_fill(at.empty[..., None, None], 0)


class _BinWeights(torch.autograd.Function):
    """`_weights` with its gradient in closed form: less to compute and to keep, and itself differentiable."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, length: Tensor, bins: int, cells: int) -> Tensor:
        ctx.save_for_backward(start, length)
        ctx.sizes = (bins, cells)
        return _weights(_crossings(start, length, bins, cells))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        start, length = ctx.saved_tensors
        at = _crossings(start, length, *ctx.sizes)
        # Means over the bin of the hat's slope, and of the slope times the place in the bin.
        slope = 2 * at.peak - at.enter - at.leave
        lever = at.peak.square() - 0.5 * (at.enter.square() + at.leave.square())
        of_shift = (gradient * slope).sum(-1)
        of_stretch = (gradient * lever).sum(-1) + of_shift * at.order
        of_start = of_shift.sum(-1).masked_fill(at.empty, 0)
        of_length = of_stretch.sum(-1).masked_fill(at.empty, 0) / ctx.sizes[0]
        return of_start, of_length, None, None
