"""Masks in COCO's notation: polygons and run lengths."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ltr.admin.inputs import number_array
from ltr.data.media import MAX_PIXELS
from ltr.errors import AnnotationError

# OpenCV takes polygon corners in these parts of a pixel.
_SHIFT = 4
# A corner further outside than this is no corner of an image.
_FARTHEST = 1e6


def decode_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask, uint8 [H, W], 255 on the object.

    Args:
        segmentation: polygons `[[x, y, x, y, ...], ...]`, or run lengths `{"size": [H, W], "counts": ...}`.
        size: (width, height) of the image, for polygons.

    Raises:
        AnnotationError: it is neither, run lengths do not fill their mask, or they are compressed and pycocotools is
            not installed.
    """
    if isinstance(segmentation, dict):
        return _from_run_lengths(segmentation)
    mask = np.zeros((size[1], size[0]), np.uint8)
    # Corners are continuous, with pixel centres at halves; OpenCV's are at integers.
    corners = [np.round((polygon - 0.5) * (1 << _SHIFT)).astype(np.int32) for polygon in _polygons(segmentation)]
    return cv2.fillPoly(mask, corners, 255, shift=_SHIFT)


def mask_box(segmentation: Any) -> tuple[float, float, float, float]:
    """The tight box (x, y, w, h) of a mask, in pixels; of no size where the mask is empty. Errors as `decode_mask`."""
    if isinstance(segmentation, dict):
        x, y, w, h = cv2.boundingRect(_from_run_lengths(segmentation))
        return float(x), float(y), float(w), float(h)
    corners = np.concatenate(_polygons(segmentation))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _polygons(segmentation: Any) -> list[np.ndarray]:
    try:
        polygons = [number_array(polygon).reshape(-1, 2) for polygon in segmentation]
    except (OverflowError, TypeError, ValueError) as error:
        raise AnnotationError(f"not a polygon: {str(segmentation)[:60]}") from error
    if not polygons or any(len(polygon) < 3 for polygon in polygons):
        raise AnnotationError(f"a polygon needs three corners: {str(segmentation)[:60]}")
    if not all((np.abs(polygon) < _FARTHEST).all() for polygon in polygons):
        raise AnnotationError(f"a corner of a polygon is no point of an image: {str(segmentation)[:60]}")
    return polygons


def _from_run_lengths(segmentation: dict[str, Any]) -> np.ndarray:
    try:
        height, width = (int(value) for value in segmentation["size"])
        compressed = is_compressed(segmentation)
        runs = np.zeros(0, np.int64) if compressed else number_array(segmentation["counts"]).astype(np.int64)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise AnnotationError(f"run lengths need 'size' and 'counts': {error!r}") from error
    if min(height, width) < 0 or height * width > MAX_PIXELS:
        raise AnnotationError(f"a mask of {width} x {height} pixels is larger than an image may be")
    if compressed:
        return _from_compressed(segmentation)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise AnnotationError(f"run lengths of {int(runs.sum())} pixels do not fill a mask of {width} x {height}")
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 255
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _from_compressed(segmentation: dict[str, Any]) -> np.ndarray:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise AnnotationError("compressed masks need pycocotools: pip install 'ebm-tracking[coco]'") from error
    return np.ascontiguousarray(mask.decode({**segmentation, "counts": segmentation["counts"].encode()}) * 255)


def is_compressed(segmentation: Any) -> bool:
    """Whether run lengths are compressed, which pycocotools decodes."""
    return isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str)
