"""The interface that every tracker offers, and what it says of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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

    Images are uint8 RGB arrays of shape [H, W, 3]; boxes are (x, y, w, h) in pixels, 0-based.
    """

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Start on the first frame. Raises `ValueError` for a box that is not finite, empty or outside the image."""
        ...

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        ...
