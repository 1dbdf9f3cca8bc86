"""Gaussian label maps of target boxes on the classifier's score map."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_label(
    boxes: Tensor, *, image_size: float, feature_size: int, filter_size: int, sigma_factor: float
) -> Tensor:
    """Gaussians of peak 1 at the centres of boxes (docs/reference.md, section 1).

    Args:
        boxes: [..., 4] (x, y, w, h) in crop pixels.
        image_size: side of the square crop in pixels.
        feature_size: side F of the feature map in cells.
        filter_size: side of the filter; with an even one the score map has F + 1 cells, the first at coordinate 0,
            with an odd one F cells, the first at 1/2.
        sigma_factor: standard deviation in parts of the feature map.

    Returns:
        [..., F', F'] on the boxes' device, F' = F + (filter_size + 1) mod 2.

    Raises:
        ValueError: `sigma_factor` is not positive.
    """
    if not sigma_factor > 0:
        raise ValueError(f"sigma_factor must be positive, not {sigma_factor}")
    centre = (boxes[..., :2] + boxes[..., 2:] / 2) * (feature_size / image_size)
    even = filter_size % 2 == 0
    cells = torch.arange(feature_size + even, dtype=centre.dtype, device=centre.device) + (0.0 if even else 0.5)
    distance = (cells - centre.unsqueeze(-1)) / (sigma_factor * feature_size)
    columns, rows = (-0.5 * distance.square()).exp().unbind(-2)
    return rows.unsqueeze(-1) * columns.unsqueeze(-2)
