"""Crops of a video frame as network input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ltr.ops.crops import sample_patch


def crop_patch(
    image: np.ndarray,
    position: Sequence[float],
    size: float,
    output_size: int,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Crop a square around a position and resize it (crop rule of docs/reference.md, section 4).

    Args:
        image: [H, W, 3] uint8 RGB.
        position: (y, x) of the crop's centre in the image.
        size: side of the crop in image pixels.
        output_size: side of the patch in pixels.
        border_mode, max_scale_change: see `ltr.ops.crops.sample_patch`.

    Returns:
        patch [1, 3, output_size, output_size] float32 in 0..255, and the image region that it shows, [1, 4] (top,
        left, bottom, right), as `sample_patch` reports it.

    Raises:
        ValueError: the image is not uint8 RGB.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be a uint8 RGB array of shape [H, W, 3], got {image.dtype} {list(image.shape)}")
    # torch cannot wrap what is reversed or read-only, such as a BGR image turned to RGB or a decoded frame.
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
    return sample_patch(pixels, position, (size, size), (output_size, output_size), border_mode, max_scale_change)
