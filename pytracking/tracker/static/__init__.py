"""A tracker that always answers the first box."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.tracker.inputs import as_image, check_first_box


@dataclass(frozen=True)
class StaticParameters:
    """A static box has no parameters."""


class StaticTracker:
    """Answers the first box for every frame; see `pytracking.tracker.base.Tracker`."""

    def __init__(self) -> None:
        self._box: Box | None = None

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Keep the first box. Raises `ValueError` for a bad one."""
        start = time.perf_counter()
        self._box = check_first_box(box, as_image(image))
        return TrackResult(self._box, 1.0, "init", time.perf_counter() - start)

    def track(self, image: np.ndarray) -> TrackResult:
        """The first box again. Raises `RuntimeError` when called before `initialize`."""
        start = time.perf_counter()
        if self._box is None:
            raise RuntimeError("track() was called before initialize()")
        as_image(image)
        return TrackResult(self._box, 1.0, "normal", time.perf_counter() - start)


def create(params: StaticParameters) -> Tracker:
    """Create the tracker."""
    return StaticTracker()
