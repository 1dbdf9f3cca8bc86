"""Overlap of rotated boxes, on the grid of pixels as the VOT toolkit counts it."""

from __future__ import annotations

import cv2
import numpy as np

# Beyond this extent, which no image has, a mask costs too much and areas are as good.
_LARGEST_MASK = 4096


def corners(region: np.ndarray) -> np.ndarray:
    """Corners [4, 2] (x, y) of a box [4] (x, y, w, h) or a polygon [8] (x1, y1, ..., x4, y4), in pixels."""
    if len(region) == 8:
        return np.asarray(region, np.float64).reshape(4, 2)
    x, y, w, h = region
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64)


def region_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two convex polygons [4, 2] (x, y), counted in pixels, the outline included.

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
