"""The interface that every tracker offers, what it says of one frame, and the check of its first box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TrackResult:
    """What a tracker says of one frame.

    Attributes:
        box: (x, y, w, h), top-left corner, in pixels of the image, 0-based, with decimals.
        score: the tracker's confidence; its scale is the tracker's own (for DiMP the peak of the score map).
        flag: 'init' for the first frame, then 'normal', 'hard_negative', 'uncertain' or 'not_found'.
        time: seconds that the tracker took for this frame, reading the image excluded.
    """

    box: Box
    score: float
    flag: str
    time: float


class Tracker(Protocol):
    """A single-object tracker: `initialize` once with the annotated box, then `track` frame by frame.

    Images are uint8 RGB arrays of shape [H, W, 3]; boxes are (x, y, w, h) in pixels, 0-based. `initialize` starts
    afresh, so that one tracker can run many sequences and none depends on those before it. A tracker with a network
    has an attribute `weights_sha256`, the checksum of its checkpoint, which is recorded with its results, and its
    parameters name that file by `net_path` or `net_name`.
    """

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Start on the first frame. Raises `ValueError` for a box that is not finite, empty or outside the image."""
        ...

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        ...


class TargetErrors(ValueError):
    """Some targets of a batch could not be tracked; the others were.

    Attributes:
        errors: what was wrong, by target.
        results: what there is to say of the other targets.
    """

    def __init__(self, errors: Mapping[int, ValueError], results: Mapping[int, TrackResult]) -> None:
        super().__init__("; ".join(f"target {target}: {error}" for target, error in errors.items()))
        self.errors = dict(errors)
        self.results = dict(results)


def check_image(image: Any) -> np.ndarray:
    """Check an image that a tracker is given.

    Returns:
        It as uint8 RGB [H, W, 3].

    Raises:
        ValueError: anything else.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"image must be a uint8 RGB array of shape [H, W, 3], got {got}")
    return image


def check_first_box(box: Sequence[float], image: np.ndarray) -> Box:
    """Check the box that a tracker starts on; every tracker's `initialize` calls this before anything else.

    Args:
        box: (x, y, w, h) in pixels of the image, 0-based; it may reach beyond the image but must overlap it.
        image: the first frame, uint8 RGB [H, W, 3].

    Returns:
        The box as four Python floats, unchanged.

    Raises:
        ValueError: the image is not uint8 [H, W, 3], or the box has not four numbers, one of them is not finite,
            its width or height is not positive, or it lies wholly outside the image.
    """
    check_image(image)
    values = [float(value) for value in box]
    if len(values) != 4:
        raise ValueError(f"first box must be four numbers (x, y, w, h), got {len(values)}: {values}")
    x, y, w, h = values
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"first box is not finite: (x, y, w, h) = ({x:g}, {y:g}, {w:g}, {h:g})")
    if w <= 0 or h <= 0:
        raise ValueError(f"first box is empty: width {w:g}, height {h:g} must be positive")
    height, width = image.shape[:2]
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(
            f"first box (x, y, w, h) = ({x:g}, {y:g}, {w:g}, {h:g}) lies outside the image of {width} x {height} pixels"
        )
    return x, y, w, h
