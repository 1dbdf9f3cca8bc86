"""Crops of a search region, by the reference tracker's rule to the last half pixel (docs/reference.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BORDER_MODES = ("replicate", "inside", "inside_major")


def sample_patch(
    image: Tensor,
    position: Sequence[float] | np.ndarray | Tensor,
    size: Sequence[float] | np.ndarray | Tensor,
    output_size: Sequence[int] | None = None,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut a patch out of an image and resize it.

    Sizes are computed in float32, as in the reference: whole pixels are truncated from them.

    Args:
        image: [1, C, H, W], floating or uint8.
        position: (y, x) centre in image pixels; truncated to whole pixels.
        size: (h, w) in image pixels.
        output_size: (h, w) of the patch; None keeps the image's resolution.
        border_mode: 'replicate' repeats the border outside the image; 'inside' shrinks and shifts the crop until it
            lies in the image, 'inside_major' until it does along one axis.
        max_scale_change: the most that the 'inside' modes shrink the size by; None is no limit.

    Returns:
        The patch [1, C, h, w] (float32, or the image's floating type), and what it shows of the image, [1, 4] float32
        (top, left, bottom, right) on the CPU. The half pixels in it are part of the rule.

    Raises:
        ValueError: an unknown border mode, a shape other than [1, C, H, W], a centre or size that is not finite, or
            a size that is not positive.
    """
    if image.dim() != 4 or image.shape[0] != 1:
        raise ValueError(f"image must have shape [1, C, H, W], not {list(image.shape)}")
    *lines, shown = patch_lines(image.shape[2:], position, size, output_size, border_mode, max_scale_change)
    patch = image
    for axis, indices in enumerate(lines, start=2):
        patch = patch.index_select(axis, torch.from_numpy(indices).to(image.device))
    if not patch.is_floating_point():
        patch = patch.float()
    if output_size is not None and tuple(output_size) != tuple(patch.shape[2:]):
        patch = functional.interpolate(
            patch, size=[int(side) for side in output_size], mode="bilinear", align_corners=False
        )
    return patch, torch.from_numpy(shown)


def patch_lines(
    image_size: Sequence[int],
    position: Sequence[float] | np.ndarray | Tensor,
    size: Sequence[float] | np.ndarray | Tensor,
    output_size: Sequence[int] | None = None,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows and the columns of an image (height, width) that `sample_patch` resizes, and what it says it shows.

    Arguments and errors as there.
    """
    if border_mode not in BORDER_MODES:
        raise ValueError(f"border_mode must be one of {', '.join(BORDER_MODES)}, not '{border_mode}'")
    extent = np.array([float(side) for side in size], dtype=np.float32)
    centre = np.array([float(place) for place in position])
    if not (np.isfinite(centre).all() and np.isfinite(extent).all() and (extent > 0).all()):
        raise ValueError(f"a crop needs a finite centre and a positive size, not {centre.tolist()}, {extent.tolist()}")
    sides = np.array(image_size)
    inside = border_mode != "replicate"
    if inside:
        ratio = extent / sides.astype(np.float32)
        shrink = ratio.max() if border_mode == "inside" else ratio.min()
        shrink = np.float32(np.clip(shrink, 1, np.inf if max_scale_change is None else max_scale_change))
        extent = np.trunc(extent / shrink)

    # The image is thinned out by a whole factor before the bilinear resize.
    factor = 1
    if output_size is not None:
        ratio = (extent / np.array([float(side) for side in output_size], dtype=np.float32)).min()
        factor = max(1, int(float(ratio) - 0.1))
    whole = np.trunc(centre).astype(np.int64)
    phase = whole % factor
    cells = -(-(sides - phase) // factor)
    count = np.maximum(np.round(extent / np.float32(factor)), 2).astype(np.float64)
    low = (whole - phase) // factor - (count - 1) / 2
    high = (whole - phase) // factor + count / 2 + 1
    if inside:
        low, high = _shift_inside(low, high, cells)

    rows, columns = (
        np.arange(int(low[axis]), int(high[axis])).clip(0, cells[axis] - 1) * factor + phase[axis] for axis in (0, 1)
    )
    return rows, columns, (np.concatenate([low, high])[None] * factor).astype(np.float32)


def _shift_inside(low: np.ndarray, high: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move [low, high] into [0, cells] along each axis; what is longer hangs over both ends alike."""
    shift = np.maximum(-low, 0) - np.maximum(high - cells, 0)
    low, high = low + shift, high + shift
    outside = np.floor((np.maximum(-low, 0) + np.maximum(high - cells, 0)) / 2)
    shift = np.where(outside > 0, -low - outside, 0)
    return low + shift, high + shift
