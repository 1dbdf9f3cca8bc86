"""Square crops of OSTrack around a box, by the public rule to the last bit, and the boxes in them.

Source: docs/reference.md, section 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ltr.errors import UserError


class SquareCrop(NamedTuple):
    """A square of the image, resized.

    Attributes:
        patch: [size, size, 3] uint8, black outside the image.
        scale: crop pixels per image pixel.
        corner: (x, y) of the square's top-left pixel in the image.
        side: side of the square in image pixels.
    """

    patch: np.ndarray
    scale: float
    corner: tuple[int, int]
    side: int

    def of_image(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """A box (x, y, w, h) of the image in the crop's pixels, exactly."""
        x, y, w, h = box
        return (x - self.corner[0]) * self.scale, (y - self.corner[1]) * self.scale, w * self.scale, h * self.scale

    def in_image(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """A box (x, y, w, h) of the crop in the image's pixels; the inverse of `of_image`."""
        x, y, w, h = box
        return x / self.scale + self.corner[0], y / self.scale + self.corner[1], w / self.scale, h / self.scale


def square_crop(image: np.ndarray, box: Sequence[float], factor: float, size: int) -> SquareCrop:
    """The square around a box whose side is `factor` times the square root of the box's area.

    The last column (row) of the image is black in a crop that reaches beyond it, as in the reference.

    Args:
        image: [H, W, 3] uint8.
        box: (x, y, w, h) in pixels.

    Raises:
        UserError: a square of less than one pixel, or one that lies wholly outside the image.
    """
    x, y, w, h = (float(value) for value in box)
    side = math.ceil(math.sqrt(w * h) * factor)
    if side < 1:
        raise UserError(f"box of {w:g} x {h:g} pixels is too small for a crop")
    x1, y1 = round((x + 0.5 * w) - 0.5 * side), round((y + 0.5 * h) - 0.5 * side)
    height, width = image.shape[:2]
    left, top = max(0, -x1), max(0, -y1)
    right, bottom = (max(0, low + side - length + 1) for low, length in ((x1, width), (y1, height)))
    if left + right >= side or top + bottom >= side:
        raise UserError(f"the crop around box ({x:g}, {y:g}, {w:g}, {h:g}) lies outside the {width} x {height} image")
    inside = image[y1 + top : y1 + side - bottom, x1 + left : x1 + side - right]
    if left or top or right or bottom:
        inside = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    patch = cv2.resize(inside, (size, size), interpolation=cv2.INTER_LINEAR)
    return SquareCrop(patch, size / side, (x1, y1), side)


def outside_mask(image_shape: Sequence[int], crop: SquareCrop) -> np.ndarray:
    """Where a crop shows padding, [size, size] bool: every pixel that the resized padding touches."""
    height, width = image_shape[:2]
    padding = np.ones((crop.side, crop.side))
    (x1, y1), side = crop.corner, crop.side
    top, bottom = max(0, -y1), max(0, y1 + side - height + 1)
    left, right = max(0, -x1), max(0, x1 + side - width + 1)
    padding[top : side - bottom, left : side - right] = 0
    size = len(crop.patch)
    return cv2.resize(padding, (size, size), interpolation=cv2.INTER_LINEAR) != 0


def box_in_crop(box: np.ndarray, cropped: np.ndarray, scale: float, size: int) -> np.ndarray:
    """The label of a training crop: a box (x, y, w, h) in parts of the crop around the box `cropped`.

    The crop's centre counts as (size - 1) / 2 here and as size / 2 in the tracker, as in the reference.
    """
    centre = (box[:2] + 0.5 * box[2:]) - (cropped[:2] + 0.5 * cropped[2:])
    extent = box[2:] * scale
    corner = (size - 1) / 2 + centre * scale - 0.5 * extent
    return np.concatenate((corner, extent)) / size
