"""The door of every tracker: what it takes for an image and for a first box, and what it refuses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ltr.data.media import MAX_PIXELS, too_large
from ltr.errors import UserError, check_names
from pytracking.tracker.base import Box

COLOURS = ("rgb", "bgr")
_LEAST_SIDE = 2
# Sides of a first box in pixels.
_LEAST_TARGET, _LARGEST_TARGET = 1e-3, 1e6
_WANTED = "image must be uint8 RGB of shape [H, W, 3]"
# A box that fits the image as (x1, y1, x2, y2) is refused where less of it than this is in the image as (x, y, w, h),
# and warned of where less than the second is.
_REFUSED_VISIBLE, _DOUBTED_VISIBLE = 0.5, 0.9


def as_image(image: Any, color: str = "rgb") -> np.ndarray:
    """An image as trackers work on it, from everything that can mean one thing only.

    Args:
        image: one of
            - uint8 array [H, W, 3]; read-only, reversed and not contiguous ones too;
            - uint8 array [H, W], [H, W, 1] (grey) or [H, W, 4] (the alpha channel is dropped);
            - floating array of these shapes in 0..1, rounded to 255 levels;
            - PIL image of 8 bits a channel;
            - torch tensor [3, H, W] or [1, H, W], uint8 or floating in 0..1, on any device.
        color: order of the channels of arrays and tensors, 'rgb' or 'bgr'. PIL images know their own.

    Returns:
        [H, W, 3] uint8 RGB, the given array itself where it is that already.

    Raises:
        UserError: anything else: no image, another shape or type, more than 8 bits a channel, less than 2 x 2 pixels,
            or more than the readers of images take (`ltr.data.media.MAX_PIXELS`).
    """
    check_names("color", [str(color)], COLOURS)
    kind = type(image).__module__.partition(".")[0]
    if kind == "PIL":
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{_WANTED}; this PIL image has mode '{image.mode}': scale it to 8 bits first")
        _limit(image.size)
        pixels, color = np.asarray(image.convert("RGB")), "rgb"
    elif kind == "torch":
        pixels = _of_tensor(image)
    elif isinstance(image, np.ndarray):
        pixels = image
        _limit(pixels.shape[1::-1])
    else:
        hint = "; was the file read?" if image is None or isinstance(image, str) else ""
        raise UserError(f"{_WANTED}, not {type(image).__name__}{hint}")
    pixels = _three_channels(pixels)
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        raise UserError(f"{_WANTED} with at least {_LEAST_SIDE} x {_LEAST_SIDE} pixels, not {list(pixels.shape)}")
    pixels = _of_bytes(pixels)
    return pixels[..., ::-1] if color == "bgr" else pixels


def check_first_box(box: Sequence[float] | Mapping[str, Any] | np.ndarray, image: np.ndarray) -> Box:
    """Check the box that a tracker starts on.

    Args:
        box: (x, y, w, h) in pixels of the image, 0-based; it may reach beyond the image but must overlap it. Also as
            an array [4] or [1, 4], or as PyTracking's dictionary {'init_bbox': box}.
        image: the first frame, as for `as_image`.

    Returns:
        The box as four Python floats, unchanged.

    Raises:
        UserError: a bad image, no four finite numbers, a width or height that is not positive, a box wholly outside
            the image, or one that is in parts of the image or (x1, y1, x2, y2). Where the last is only likely, there
            is a warning.
    """
    if isinstance(box, Mapping):
        if "init_bbox" not in box:
            raise UserError(f"the dictionary of the first box must have 'init_bbox', has {sorted(map(str, box))}")
        box = box["init_bbox"]
    x, y, w, h = _four_numbers(box)
    named = f"first box (x, y, w, h) = ({x:g}, {y:g}, {w:g}, {h:g})"
    if not all(math.isfinite(value) for value in (x, y, w, h)):
        raise UserError(f"{named} is not finite")
    if w <= 0 or h <= 0:
        raise UserError(f"{named} is empty: width and height must be positive")
    if min(w, h) < _LEAST_TARGET or max(w, h) > _LARGEST_TARGET:
        raise UserError(
            f"{named} has a side that no target has, below {_LEAST_TARGET} or above {_LARGEST_TARGET} pixels"
        )
    height, width = as_image(image).shape[:2]
    if max(abs(value) for value in (x, y, w, h)) <= 1:
        raise UserError(f"{named} looks like parts of the image; multiply by its size, {width} x {height} pixels")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise UserError(f"{named} lies outside the image of {width} x {height} pixels")
    if x >= 0 and y >= 0 and x < w <= width and y < h <= height:
        visible = (min(x + w, width) - x) * (min(y + h, height) - y) / (w * h)
        if visible < _DOUBTED_VISIBLE:
            advice = f"{named} reaches far outside the image of {width} x {height} pixels: is it (x1, y1, x2, y2)?"
            if visible < _REFUSED_VISIBLE:
                raise UserError(f"{advice} Give (x1, y1, x2 - x1, y2 - y1)")
            warnings.warn(advice, stacklevel=3)
    return x, y, w, h


def _four_numbers(box: Any) -> Box:
    try:
        values = np.asarray(box)
        # Text, true and false would become numbers.
        if values.dtype.kind not in "iufO":
            raise TypeError
        values = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"first box must be four numbers (x, y, w, h), not {type(box).__name__}") from None
    if values.shape not in ((4,), (1, 4)):
        raise UserError(f"first box must be four numbers (x, y, w, h), not of shape {list(values.shape)}")
    x, y, w, h = values.reshape(4).tolist()
    return x, y, w, h


def _of_tensor(image: Any) -> np.ndarray:
    """An array [H, W, C] of a torch tensor [C, H, W]."""
    if image.is_sparse or image.dim() != 3 or image.shape[0] not in (1, 3):
        kind = "sparse tensor" if image.is_sparse else "tensor"
        raise UserError(f"{_WANTED}, or as a tensor [3, H, W]; this {kind} has shape {list(image.shape)}")
    _limit((image.shape[2], image.shape[1]))
    array: np.ndarray = image.detach().permute(1, 2, 0).cpu().float().numpy()
    return array.astype(np.uint8) if str(image.dtype) == "torch.uint8" else array


def _limit(size: Sequence[int]) -> None:
    """Refuse an image of (width, height) before anything is made of its pixels."""
    if math.prod(size) > MAX_PIXELS:
        raise UserError(too_large("image", *size))


def _three_channels(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim == 3 and pixels.shape[2] in (1, 4):
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    hint = "; transpose it by (1, 2, 0)" if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) else ""
    raise UserError(f"{_WANTED}, not {pixels.dtype} {list(pixels.shape)}{hint}")


def _of_bytes(pixels: np.ndarray) -> np.ndarray:
    """Pixels as uint8; floating ones are in 0..1."""
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UserError(f"{_WANTED}, not {pixels.dtype} {list(pixels.shape)}: scale it to 8 bits first")
    low, high = float(pixels.min()), float(pixels.max())
    # Written so that NaN is refused as well.
    if not (low >= 0 and high <= 1):
        raise UserError(f"{_WANTED}; floating images must lie in 0..1, this {pixels.dtype} one in {low:g}..{high:g}")
    return np.rint(pixels * 255).astype(np.uint8)
