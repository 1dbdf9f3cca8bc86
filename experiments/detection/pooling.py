"""Precise RoI Pooling over the levels of a feature pyramid: which level a box reads, and what it reads there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.ops.boxes import xywh_to_xyxy
from ltr.ops.prroi_pool import prroi_pool_grouped

# Lin et al., "Feature Pyramid Networks", CVPR 2017, equation 1; the margin is torchvision's LevelMapper's.
CANONICAL_LEVEL, CANONICAL_SIZE = 4, 224.0
_MARGIN = 1e-6


@dataclass(frozen=True)
class FeaturePyramid:
    """Frozen features of one image.

    Attributes:
        maps: [C, H, W] each, the finest first.
        strides: of the maps, in pixels of the network's input; powers of two where there are several.
        scale: (x, y) pixels of the network's input a pixel of the image.
    """

    maps: tuple[Tensor, ...]
    strides: tuple[int, ...]
    scale: tuple[float, float]


def assign_levels(sizes: Tensor, strides: Sequence[int]) -> Tensor:
    """The pyramid level that a box reads: floor(4 + log2(sqrt(w h) / 224)), within the levels there are.

    The level of stride 2^k is k. This is the rule of torchvision's `LevelMapper` (`torchvision.ops.poolers`, with
    its k0 = 4 and s0 = 224) after equation 1 of the FPN paper.

    Args:
        sizes: [..., 2] (w, h) in pixels of the network's input.
        strides: of the levels, each twice the one before.

    Returns:
        [...] indices into `strides`.

    Raises:
        ValueError: strides that are no successive powers of two.
    """
    lowest = round(math.log2(strides[0]))
    if list(strides) != [2 ** (lowest + k) for k in range(len(strides))]:
        raise ValueError(f"strides of a pyramid must be successive powers of two, not {list(strides)}")
    side = sizes.detach().clamp(min=0).prod(-1).sqrt().clamp(min=_MARGIN)
    level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE) + _MARGIN)
    return (level.clamp(lowest, lowest + len(strides) - 1) - lowest).long()


def pool(pyramid: FeaturePyramid, boxes: Tensor, bins: int) -> Tensor:
    """Features of boxes, each from the level that suits its own size; differentiable twice in the boxes.

    Args:
        boxes: [R, 4] (x, y, w, h) in image pixels.
        bins: a side.

    Returns:
        [R, C, bins, bins].
    """
    corners = xywh_to_xyxy(boxes) * boxes.new_tensor(pyramid.scale * 2)
    if len(pyramid.maps) == 1:
        return _pool_level(pyramid, 0, corners, bins)
    levels = assign_levels(corners[:, 2:] - corners[:, :2], pyramid.strides)
    rows = [torch.nonzero(levels == level)[:, 0] for level in range(len(pyramid.maps))]
    pooled = [_pool_level(pyramid, level, corners[found], bins) for level, found in enumerate(rows) if len(found)]
    if not pooled:
        return _pool_level(pyramid, 0, corners, bins)
    return torch.cat(pooled)[torch.argsort(torch.cat(rows))]


def _pool_level(pyramid: FeaturePyramid, level: int, corners: Tensor, bins: int) -> Tensor:
    return prroi_pool_grouped(pyramid.maps[level][None], corners[None], bins, 1 / pyramid.strides[level])[0]
