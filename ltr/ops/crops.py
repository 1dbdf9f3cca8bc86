"""Crops of a search region, by the reference tracker's rule to the last half pixel (docs/reference.md, section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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
    *axes, shown = patch_lines(image.shape[2:], position, size, output_size, border_mode, max_scale_change)
    patch = image
    for axis, lines in enumerate(axes, start=2):
        patch = patch.index_select(axis, torch.from_numpy(lines.places()).to(image.device))
    if not patch.is_floating_point():
        patch = patch.float()
    if output_size is not None and tuple(output_size) != tuple(patch.shape[2:]):
        patch = functional.interpolate(
            patch, size=[int(side) for side in output_size], mode="bilinear", align_corners=False
        )
    return patch, torch.from_numpy(shown)


class Lines(NamedTuple):
    """The rows or columns of an image that a patch is made of: some of its own, of which the ends may be repeated.

    first, last, step: of the image's own lines.
    before, after: how often the first one is repeated before them, and the last one after them.
    """

    first: int
    last: int
    step: int
    before: int
    after: int

    def places(self) -> np.ndarray:
        """All of them in order, [n] int64."""
        own = np.arange(self.first, self.last + 1, self.step)
        return np.pad(own, (self.before, self.after), "edge")


def patch_lines(
    image_size: Sequence[int],
    position: Sequence[float] | np.ndarray | Tensor,
    size: Sequence[float] | np.ndarray | Tensor,
    output_size: Sequence[int] | None = None,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[Lines, Lines, np.ndarray]:
    """The rows and the columns of an image (height, width) that `sample_patch` resizes, and what it says it shows.

    Arguments and errors as there.
    """
    if border_mode not in BORDER_MODES:
        raise ValueError(f"border_mode must be one of {', '.join(BORDER_MODES)}, not '{border_mode}'")
    extent = [_float32(side) for side in size]
    centre = [float(place) for place in position]
    if not (all(map(math.isfinite, (*centre, *extent))) and min(extent) > 0):
        raise ValueError(f"a crop needs a finite centre and a positive size, not {centre}, {extent}")
    inside = border_mode != "replicate"
    if inside:
        ratios = [_float32(side / whole) for side, whole in zip(extent, image_size)]
        shrink = max(ratios) if border_mode == "inside" else min(ratios)
        shrink = _float32(min(max(shrink, 1), math.inf if max_scale_change is None else max_scale_change))
        extent = [float(int(_float32(side / shrink))) for side in extent]

    # The image is thinned out by a whole factor before the bilinear resize.
    factor = 1
    if output_size is not None:
        factor = max(1, int(min(_float32(side / float(own)) for side, own in zip(extent, output_size)) - 0.1))
    axes, lows, highs = [], [], []
    for place, side, whole in zip(map(int, centre), extent, image_size):
        phase = min(place % factor, int(whole) - 1)
        cells = -(-(int(whole) - phase) // factor)
        count = max(round(_float32(side / factor)), 2)
        low = (place - phase) // factor - (count - 1) / 2
        high = (place - phase) // factor + count / 2 + 1
        if inside:
            low, high = _shift_inside(low, high, cells)
        lows.append(low * factor)
        highs.append(high * factor)
        begin, end = int(low), int(high)
        first = min(max(begin, 0), cells - 1)
        last = min(max(end - 1, first), cells - 1)
        before = max(min(-begin, end - begin - 1), 0)
        after = end - begin - before - (last - first + 1)
        axes.append(Lines(first * factor + phase, last * factor + phase, factor, before, after))
    return axes[0], axes[1], np.array([lows + highs], np.float32)


def _float32(value: float) -> float:
    """Rounded to float32."""
    return float(np.float32(value))


def _shift_inside(low: float, high: float, cells: int) -> tuple[float, float]:
    """Move [low, high] into [0, cells]; what is longer hangs over both ends alike."""
    shift = max(-low, 0) - max(high - cells, 0)
    low, high = low + shift, high + shift
    outside = (max(-low, 0) + max(high - cells, 0)) // 2
    shift = -low - outside if outside > 0 else 0
    return low + shift, high + shift
