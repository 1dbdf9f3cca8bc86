"""Boxes (x, y, w, h): overlap, corners, relative space; pure functions that broadcast."""

from __future__ import annotations

import torch
from torch import Tensor


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Corners (x, y, x + w, y + h) of boxes [..., 4] (x, y, w, h)."""
    return torch.cat((boxes[..., :2], boxes[..., :2] + boxes[..., 2:]), dim=-1)


def xyxy_to_xywh(corners: Tensor) -> Tensor:
    """Boxes (x, y, w, h) of corners [..., 4] (x1, y1, x2, y2)."""
    return torch.cat((corners[..., :2], corners[..., 2:] - corners[..., :2]), dim=-1)


def centres(boxes: Tensor) -> Tensor:
    """Centres [..., 2] (x + w/2, y + h/2) of boxes [..., 4] (x, y, w, h)."""
    return boxes[..., :2] + boxes[..., 2:] / 2


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes in real coordinates (no +1 pixel convention).

    Args:
        a, b: [..., 4] (x, y, w, h), broadcast against each other. A negative side counts as zero.

    Returns:
        [...], in [0, 1]; 0 where both boxes are empty, NaN where a coordinate is NaN.
    """
    size_a, size_b = a[..., 2:].clamp(min=0), b[..., 2:].clamp(min=0)
    top_left = torch.maximum(a[..., :2], b[..., :2])
    bottom_right = torch.minimum(a[..., :2] + size_a, b[..., :2] + size_b)
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    union = size_a.prod(-1) + size_b.prod(-1) - intersection
    # Rounding of x + w can make the overlap of equal boxes exceed their area.
    return (intersection / union.clamp(min=torch.finfo(union.dtype).tiny)).clamp(max=1)


def to_relative(boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes in the relative space of the densities (docs/reference.md, section 1).

    Args:
        boxes: [..., 4] (x, y, w, h) in pixels, w and h > 0.
        size: [..., 2] (sw, sh) in pixels, the unit of the centre: fixed per image, not each box's own.

    Returns:
        [..., 4] (cx / sw, cy / sh, log w, log h).
    """
    relative = centres(boxes) / size
    return torch.cat((relative, boxes[..., 2:].log().expand_as(relative)), dim=-1)


def from_relative(relative: Tensor, size: Tensor) -> Tensor:
    """Boxes [..., 4] (x, y, w, h) in pixels of relative points [..., 4]; the inverse of `to_relative`."""
    extent = relative[..., 2:].exp()
    corner = relative[..., :2] * size - extent / 2
    return torch.cat((corner, extent if extent.shape == corner.shape else extent.expand_as(corner)), dim=-1)
