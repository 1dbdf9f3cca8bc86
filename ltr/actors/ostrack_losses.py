"""Losses of OSTrack: GIoU and L1 of the decoded box, a focal loss of the score map.

Source: Ye et al., ECCV 2022, section 3.3; Law and Deng, "CornerNet", ECCV 2018, section 3.2;
docs/reference.md, section 10.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.models.tracking.ostrack import CentreMaps, decode

_LEAST_OVERLAP = 0.7


def ostrack_losses(maps: CentreMaps, boxes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, 2 GIoU + 5 L1 + focal, and its parts.

    Args:
        maps: maps of the centre head for B images.
        boxes: [B, 4] (x, y, w, h) annotations in parts of the search crop.

    Returns:
        The loss, a scalar, and `giou`, `l1`, `focal` and `iou` (mean overlap of the decoded boxes), detached.
    """
    centre, size = decode(maps).split(2, dim=1)
    found = torch.cat((centre - 0.5 * size, centre + 0.5 * size), dim=1)
    wanted = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1).clamp(0, 1)
    overlap, giou = generalised_iou(found, wanted)
    parts = {
        "giou": (1 - giou).mean(),
        "l1": (found - wanted).abs().mean(),
        "focal": focal_loss(maps.score, gaussian_heat_map(boxes, maps.score.shape[-1])),
    }
    loss = 2 * parts["giou"] + 5 * parts["l1"] + parts["focal"]
    return loss, {name: part.detach() for name, part in {**parts, "iou": overlap.mean()}.items()}


def generalised_iou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU [B] of boxes [B, 4] as corners (Rezatofighi et al., CVPR 2019, algorithm 1)."""
    areas = [(corners[:, 2:] - corners[:, :2]).prod(1) for corners in (first, second)]
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    intersection = (high - low).clamp(min=0).prod(1)
    union = areas[0] + areas[1] - intersection
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    hull_area = hull.prod(1)
    overlap = intersection / union
    return overlap, overlap - (hull_area - union) / hull_area


def focal_loss(score: Tensor, heat_map: Tensor) -> Tensor:
    """Penalty-reduced focal loss of scores against a heat map of peak 1, [B, 1, F, F] each (CornerNet, equation 1)."""
    score = score.clamp(min=1e-12)
    peaks = heat_map == 1
    positive = (score.log() * (1 - score) ** 2)[peaks].sum()
    others = heat_map < 1
    negative = ((1 - score).log() * score**2 * (1 - heat_map) ** 4)[others].sum()
    count = peaks.sum()
    return -(positive + negative) / count if count else -negative


def gaussian_heat_map(boxes: Tensor, cells: int) -> Tensor:
    """Heat maps [B, 1, cells, cells]: a truncated Gaussian around the cell of each box's centre.

    Args:
        boxes: [B, 4] (x, y, w, h) in parts of the crop.
    """
    scaled = boxes * cells
    centre = (scaled[:, :2] + 0.5 * scaled[:, 2:]).round()
    radius = _radius(scaled[:, 2:].double())
    sigma = (2 * radius + 1) / 6
    index = torch.arange(cells, device=boxes.device)
    dx, dy = index - centre[:, :1], index - centre[:, 1:]
    distance = dx[:, None, :] ** 2 + dy[:, :, None] ** 2
    values = torch.exp(-distance / (2 * sigma**2)[:, None, None])
    near = (dx.abs() <= radius[:, None])[:, None, :] & (dy.abs() <= radius[:, None])[:, :, None]
    on_map = ((centre >= 0) & (centre < cells)).all(1)
    drawn = near & on_map[:, None, None] & (values >= torch.finfo(torch.float64).eps)
    return torch.where(drawn, values, torch.zeros_like(values)).to(boxes.dtype)[:, None]


def _radius(size: Tensor) -> Tensor:
    """Radius in whole cells of boxes [B, 2] whose shifted copies still overlap them by 0.7.

    The roots are CornerNet's without the division by twice the leading coefficient, as public models were trained.
    """
    q, total, area = _LEAST_OVERLAP, size.sum(1), size.prod(1)
    outside = (total + (total**2 - 4 * area * (1 - q) / (1 + q)).sqrt()) / 2
    inside = (2 * total + (4 * total**2 - 16 * (1 - q) * area).sqrt()) / 2
    around = (-2 * q * total + (4 * q**2 * total**2 - 16 * q * (q - 1) * area).sqrt()) / 2
    return torch.stack((outside, inside, around)).amin(0).clamp(min=0).floor()
