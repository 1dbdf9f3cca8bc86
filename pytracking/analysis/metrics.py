"""Overlaps of boxes and of rotated ones, centre errors and the curves made of them: pure functions on arrays."""

from __future__ import annotations

import cv2
import numpy as np

# Beyond this extent, which no image has, a mask costs too much and areas are as good.
_LARGEST_MASK = 4096


def box_overlap(predicted: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Intersection over union.

    Args:
        predicted, annotated: [T, 4] (x, y, w, h) in pixels.

    Returns:
        overlap: [T] in [0, 1]; 0 where a box is not finite or both are empty.
    """
    left_top = np.maximum(predicted[:, :2], annotated[:, :2])
    right_bottom = np.minimum(predicted[:, :2] + predicted[:, 2:], annotated[:, :2] + annotated[:, 2:])
    intersection = np.clip(right_bottom - left_top, 0.0, None).prod(axis=1)
    union = predicted[:, 2:].prod(axis=1) + annotated[:, 2:].prod(axis=1) - intersection
    usable = np.isfinite(intersection) & (union > 0)
    return np.divide(intersection, union, out=np.zeros(len(union)), where=usable)


def centre_error(predicted: np.ndarray, annotated: np.ndarray, normalised: bool = False) -> np.ndarray:
    """Distance of the boxes' centres, a centre being corner + (size - 1)/2.

    Args:
        predicted, annotated: [T, 4] (x, y, w, h) in pixels.
        normalised: divide horizontally by the annotated width, vertically by the annotated height.

    Returns:
        error: [T] in pixels, or in annotated sizes; NaN or infinite where a box is not finite or the size is 0.
    """
    difference = predicted[:, :2] - annotated[:, :2] + (predicted[:, 2:] - annotated[:, 2:]) / 2
    if normalised:
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = difference / annotated[:, 2:]
    return np.hypot(difference[:, 0], difference[:, 1])


def success_curve(overlap: np.ndarray, thresholds: np.ndarray, frames: int, inclusive: bool = False) -> np.ndarray:
    """Part of `frames` whose overlap [T] is strictly above (inclusive: at least) each threshold [N]; [N]."""
    above = overlap[:, None] >= thresholds if inclusive else overlap[:, None] > thresholds
    return above.sum(axis=0) / frames


def precision_curve(error: np.ndarray, thresholds: np.ndarray, frames: int) -> np.ndarray:
    """Part of `frames` whose centre error [T] is at most each threshold [N]; [N]."""
    return (error[:, None] <= thresholds).sum(axis=0) / frames


def repeat_over_empty(predicted: np.ndarray, repeatable: np.ndarray) -> np.ndarray:
    """Replace every predicted box of no width or no height by the prediction before it.

    Args:
        predicted: [T, 4] (x, y, w, h).
        repeatable: [T] bool, where this is allowed; the first box is never replaced.

    Returns:
        boxes: [T, 4], a new array.
    """
    empty = (predicted[:, 2:] == 0).any(axis=1) & repeatable
    empty[:1] = False
    source = np.where(empty, 0, np.arange(len(predicted)))
    return predicted[np.maximum.accumulate(source)]


def clip_boxes(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """The part of boxes [T, 4] (x, y, w, h) that lies in an image of `image_size` (width, height); a new array."""
    corner = np.clip(boxes[:, :2], 0, image_size)
    return np.concatenate([corner, np.clip(boxes[:, :2] + boxes[:, 2:], 0, image_size) - corner], axis=1)


def corners(region: np.ndarray) -> np.ndarray:
    """Corners [4, 2] (x, y) of a box [4] (x, y, w, h) or a polygon [8] (x1, y1, ..., x4, y4), in pixels."""
    if len(region) == 8:
        return np.asarray(region, np.float64).reshape(4, 2)
    x, y, w, h = region
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64)


def region_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two convex polygons [4, 2] (x, y), counted in pixels, the outline included.

    This is how the VOT toolkit counts them.

    The corners are rounded to whole pixels, so that overlaps of small regions are a little higher than those of areas.
    """
    origin = np.floor(np.minimum(first.min(axis=0), second.min(axis=0)))
    extent = np.maximum(first.max(axis=0), second.max(axis=0)) - origin
    if extent.max() > _LARGEST_MASK:
        return area_overlap(first, second)
    width, height = (np.ceil(extent) + 1).astype(int)
    masks = []
    for polygon in (first, second):
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.rint(polygon - origin).astype(np.int32)], 1)
        masks.append(mask.astype(bool))
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def area_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of the areas of two convex polygons [4, 2] (x, y); 0 where both are empty."""
    intersection = float(cv2.intersectConvexConvex(first.astype(np.float32), second.astype(np.float32))[0])
    union = _area(first) + _area(second) - intersection
    return min(intersection / union, 1.0) if union > 0 else 0.0


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
