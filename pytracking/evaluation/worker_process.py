"""What runs in a worker process, see `workers`: `python -m ...worker_process <socket> <slot> <batch>`.

Nothing here imports torch; a worker whose trackers need none starts in a fraction of the time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection

import numpy as np

from pytracking.evaluation.execution import Failed, Frames, OnFrame, Unit, Worker, debug_line, set_threads
from pytracking.evaluation.lockstep import Lockstep
from pytracking.tracker.base import TrackResult

READY = "ready"
_REPORT_SECONDS = 0.2


def main() -> None:
    """Track the units that come through a socket until it closes; the other end closes when the parent dies."""
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), "debug" in sys.argv)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def serve(connection: Connection, slot: int, batch: int = 1, debug: bool = False) -> None:
    """Say that the process is up, then answer units with `Frames` now and then, and with what comes of them.

    Returns after a unit that leaves the process spoiled.

    Args:
        batch: units tracked in lockstep.
        debug: print a line a frame.

    Raises:
        EOFError: the other end is closed; sending raises an `OSError` then.
    """
    worker = Worker(slot)
    connection.send(READY)
    frames = _FrameCounts(connection, f"worker {slot}: " if debug else None)
    if batch > 1:
        _serve_in_lockstep(connection, Lockstep(worker, batch), frames)
        return
    while True:
        unit: Unit = connection.recv()
        answer = worker.track(unit, frames.of(unit))
        frames.flush()
        connection.send(answer)
        if isinstance(answer, Failed) and answer.spoiled:
            return


def _serve_in_lockstep(connection: Connection, lockstep: Lockstep, frames: _FrameCounts) -> None:
    while True:
        # Units that came meanwhile join the batch; with none at all there is nothing to do but wait.
        while not len(lockstep) or connection.poll():
            lockstep.submit(connection.recv())
        spoiled = False
        for event in lockstep.step():
            if isinstance(event, Frames):
                frames.add(event.number, event.count)
                continue
            frames.flush()
            connection.send(event)
            spoiled = spoiled or (isinstance(event, Failed) and event.spoiled)
        if spoiled:
            return


class _FrameCounts:
    """Tells the parent how many frames were tracked, not more often than it can use."""

    def __init__(self, connection: Connection, label: str | None = None) -> None:
        self._connection = connection
        self._label = label
        self._counts: dict[int, int] = {}
        self._sent = time.monotonic()

    def of(self, unit: Unit) -> OnFrame:
        """Counts a unit's frames one by one."""

        def on_frame(number: int, image: np.ndarray, result: TrackResult) -> None:
            self.add(unit.number, 1)
            if self._label is not None:
                print(self._label + debug_line(unit.sequence.name, number, result), flush=True)

        return on_frame

    def add(self, number: int, count: int) -> None:
        """Count frames of a unit."""
        self._counts[number] = self._counts.get(number, 0) + count
        if time.monotonic() - self._sent >= _REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is counted."""
        counts, self._counts, self._sent = self._counts, {}, time.monotonic()
        for number, count in counts.items():
            self._connection.send(Frames(number, count))


if __name__ == "__main__":
    main()
