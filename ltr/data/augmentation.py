"""Photometric augmentation of crops: one colour map a frame, blur, cut-out; on uint8, which keeps workers quick."""

from __future__ import annotations

import math

import cv2
import numpy as np

# Rec. 601, as OpenCV's conversion to grey.
_LUMA = np.array((0.299, 0.587, 0.114))
_BLUR_SIGMA = (0.5, 2.0)
_CUTOUT_SIDE = (0.3, 1.2)
_CUTOUT_MOST = 0.5
_CUTOUT_TRIES = 10


def colour_map(gain: float, contrast: float, saturation: float, hue: float, gray: bool) -> np.ndarray:
    """An affine map of colours [3, 4]: RGB in 0..255, and 1.

    Args:
        gain: factor of everything.
        contrast: factor of the distance from mid-grey.
        saturation: factor of the distance from a colour's own grey.
        hue: turn about the grey axis, in radians.
        gray: give every colour its grey value first.
    """
    to_gray = np.tile(_LUMA, (3, 1))
    linear = to_gray if gray else np.eye(3)
    if hue:
        linear = _turn(hue) @ linear
    linear = (saturation * np.eye(3) + (1 - saturation) * to_gray) @ linear
    offset = np.full((3, 1), 127.5 * (1 - contrast))
    return gain * np.hstack((contrast * linear, offset))


def _turn(angle: float) -> np.ndarray:
    """The rotation of RGB space about its grey axis (Rodrigues)."""
    cos, sin = math.cos(angle), math.sin(angle)
    cross = np.array(((0, -1, 1), (1, 0, -1), (-1, 1, 0))) / math.sqrt(3)
    return np.asarray(cos * np.eye(3) + sin * cross + (1 - cos) / 3)


def apply_colour_map(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map the colours of an image uint8 [H, W, 3] by [3, 4]; rounded to within one level, clipped to 0..255."""
    linear = matrix[:, :3]
    if not matrix[:, 3].any():
        if np.array_equal(linear, np.eye(3)):
            return image
        gain = linear[0, 0]
        if np.array_equal(linear, gain * np.eye(3)):
            return cv2.LUT(image, np.clip(np.rint(np.arange(256) * gain), 0, 255).astype(np.uint8))
    return cv2.transform(image, matrix)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur of 0.5 to 2 pixels."""
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(*_BLUR_SIGMA))


def cut_out(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide a rectangle of an image under its mean colour, but never more than half of the target.

    Args:
        image: uint8 [S, S, 3].
        box: [4] (x, y, w, h) of the target in image pixels; the rectangle's sides are 0.3 to 1.2 of its square root of
            area, and its middle lies anywhere in the image.

    Returns:
        A new image; the same where ten rectangles would all have hidden too much.
    """
    height, width = image.shape[:2]
    scale = math.sqrt(max(float(box[2] * box[3]), 1.0))
    for _ in range(_CUTOUT_TRIES):
        sides = rng.uniform(*_CUTOUT_SIDE, 2) * scale
        low = np.rint(rng.random(2) * (width, height) - sides / 2)
        high = np.rint(low + sides)
        shared = np.clip(np.minimum(high, box[:2] + box[2:]) - np.maximum(low, box[:2]), 0, None)
        if shared.prod() <= _CUTOUT_MOST * box[2:].prod():
            (x0, y0), (x1, y1) = np.clip((low, high), 0, (width, height)).astype(int)
            hidden = image.copy()
            hidden[y0:y1, x0:x1] = np.rint(cv2.mean(image)[:3]).astype(np.uint8)
            return hidden
    return image
