"""The back end that tracks in this process, one sequence after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from pytracking.evaluation.execution import Event, Frames, Unit, Worker
from pytracking.tracker.base import TrackResult


class InProcess:
    """See `pytracking.evaluation.execution.Backend`.

    Args:
        debug: print a line a frame, and let what a tracker raises pass.
    """

    def __init__(self, debug: bool = False) -> None:
        self._debug = debug
        self._worker = Worker(debug=debug)
        self._unit: Unit | None = None

    def free(self) -> int:
        """1, or 0 while a unit waits to be tracked."""
        return int(self._unit is None)

    def submit(self, unit: Unit) -> None:
        """Keep a unit until `wait` tracks it."""
        self._unit = unit

    def wait(self, report: Callable[[Event], None]) -> None:
        """Track the unit."""
        unit, self._unit = self._unit, None
        if unit is None:
            return

        def on_frame(number: int, image: np.ndarray, result: TrackResult) -> None:
            report(Frames(unit.number, 1))
            if self._debug:
                tqdm.write(_line(unit.sequence.name, number, result))

        report(self._worker.track(unit, on_frame))

    def close(self) -> None:
        """Forget the tracker."""
        self._worker = Worker(debug=self._debug)


def _line(name: str, number: int, result: TrackResult) -> str:
    box = " ".join(f"{value:8.2f}" for value in result.box)
    return f"{name} {number + 1:5d}  {box}  {result.score:7.3f}  {result.flag:13s} {1000 * result.time:7.1f} ms"
