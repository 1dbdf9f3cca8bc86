"""The back end that tracks in this process, one sequence after the other or several in lockstep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from pytracking.evaluation.execution import Event, Frames, Unit, Worker, debug_line
from pytracking.evaluation.lockstep import Lockstep
from pytracking.tracker.base import TrackResult


class InProcess:
    """See `pytracking.evaluation.execution.Backend`.

    Args:
        debug: print a line a frame, and let what a tracker raises pass.
        batch: sequences tracked in lockstep.
    """

    def __init__(self, debug: bool = False, batch: int = 1) -> None:
        self._debug = debug
        self._batch = batch
        self._worker = Worker(debug=debug)
        self._lockstep = Lockstep(self._worker, batch) if batch > 1 else None
        self._unit: Unit | None = None

    def free(self) -> int:
        """How many more units can wait or be tracked."""
        return int(self._unit is None) if self._lockstep is None else self._batch - len(self._lockstep)

    def submit(self, unit: Unit) -> None:
        """Keep a unit until `wait` tracks it."""
        if self._lockstep is None:
            self._unit = unit
        else:
            self._lockstep.submit(unit)

    def wait(self, report: Callable[[Event], None]) -> None:
        """Track the unit, or a frame of every unit."""
        if self._lockstep is not None:
            for event in self._lockstep.step():
                report(event)
            return
        unit, self._unit = self._unit, None
        if unit is None:
            return

        def on_frame(number: int, image: np.ndarray, result: TrackResult) -> None:
            report(Frames(unit.number, 1))
            if self._debug:
                tqdm.write(debug_line(unit.sequence.name, number, result))

        report(self._worker.track(unit, on_frame))

    def close(self) -> None:
        """Forget the tracker."""
        if self._lockstep is not None:
            self._lockstep.close()
        self._worker = Worker(debug=self._debug)
