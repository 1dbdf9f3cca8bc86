"""OpenCV's own correlation-filter trackers (contrib builds, 4.x and 5.x) behind the common interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ltr.errors import UserError, unknown_name
from pytracking.tracker.base import Box, Tracker, TrackResult, check_first_box

ALGORITHMS = ("CSRT", "KCF")


@dataclass(frozen=True)
class OpenCVParameters:
    """Which of OpenCV's trackers; its settings stay OpenCV's own.

    Attributes:
        algorithm: 'KCF' or 'CSRT'.
    """

    algorithm: str


class OpenCVTracker:
    """One of OpenCV's trackers; see `pytracking.tracker.base.Tracker`.

    OpenCV takes and gives boxes of whole pixels: the first box is rounded to the nearest pixel and cut at the image's
    border. OpenCV tells no confidence, so the score is 1 where it found the target and 0 where it did not; then the
    last box stands and the flag is 'not_found'.
    """

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._tracker: Any = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Start on the first frame. Raises `ValueError` for a bad first box, or one that OpenCV cannot start on."""
        start = time.perf_counter()
        self._box = check_first_box(box, image)
        tracker = _create(self._algorithm)
        whole = _whole_pixels(self._box, image)
        try:
            tracker.init(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), whole)
        except cv2.error as error:
            raise ValueError(f"OpenCV's {self._algorithm} cannot start on the box {whole}: {error.err}") from error
        self._tracker = tracker
        return TrackResult(self._box, 1.0, "init", time.perf_counter() - start)

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        start = time.perf_counter()
        if self._tracker is None:
            raise RuntimeError("track() was called before initialize()")
        found, box = self._tracker.update(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if found:
            x, y, w, h = box
            self._box = (float(x), float(y), float(w), float(h))
        flag = "normal" if found else "not_found"
        return TrackResult(self._box, float(found), flag, time.perf_counter() - start)


def create(params: OpenCVParameters) -> Tracker:
    """Create the tracker. Raises `UserError` for an unknown algorithm or an OpenCV without the contrib modules."""
    if params.algorithm not in ALGORITHMS:
        raise unknown_name("OpenCV tracker", params.algorithm, ALGORITHMS)
    _create(params.algorithm)
    return OpenCVTracker(params.algorithm)


def _create(algorithm: str) -> Any:
    factory = getattr(cv2, f"Tracker{algorithm}_create", None)
    if factory is None:
        raise UserError(
            f"this OpenCV ({cv2.__version__}) has no {algorithm} tracker; install opencv-contrib-python-headless "
            "in place of any other opencv package"
        )
    return factory()


def _whole_pixels(box: Box, image: np.ndarray) -> tuple[int, int, int, int]:
    """The box in whole pixels inside the image, at least one pixel wide and high."""
    x, y, w, h = box
    height, width = image.shape[:2]
    left = min(max(round(x), 0), width - 1)
    top = min(max(round(y), 0), height - 1)
    right = min(max(round(x) + round(w), left + 1), width)
    bottom = min(max(round(y) + round(h), top + 1), height)
    return left, top, right - left, bottom - top
