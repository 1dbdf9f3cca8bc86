"""What runs in a worker process: `python -m pytracking.evaluation.worker_process <socket> <slot>`, see `workers`.

Nothing here imports torch; a worker whose trackers need none starts in a fraction of the time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection

import numpy as np

from pytracking.evaluation.execution import Failed, Frames, Tracked, Unit, Unusable, Worker, set_threads
from pytracking.tracker.base import TrackResult

READY = "ready"
_REPORT_SECONDS = 0.2


def main() -> None:
    """Track the units that come through a socket until it closes; the other end closes when the parent dies."""
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def serve(connection: Connection, slot: int) -> None:
    """Say that the process is up, then answer each unit with `Frames` now and then, and with what comes of it.

    Returns after a unit that leaves the process spoiled.

    Raises:
        EOFError: the other end is closed; sending raises an `OSError` then.
    """
    worker = Worker(slot)
    connection.send(READY)
    spoiled = False
    while not spoiled:
        answer = _track(worker, connection.recv(), connection)
        connection.send(answer)
        spoiled = isinstance(answer, Failed) and answer.spoiled


def _track(worker: Worker, unit: Unit, connection: Connection) -> Tracked | Failed | Unusable:
    count, sent = 0, time.monotonic()

    def on_frame(number: int, image: np.ndarray, result: TrackResult) -> None:
        nonlocal count, sent
        count += 1
        now = time.monotonic()
        if now - sent >= _REPORT_SECONDS:
            connection.send(Frames(unit.number, count))
            count, sent = 0, now

    answer = worker.track(unit, on_frame)
    if count:
        connection.send(Frames(unit.number, count))
    return answer


if __name__ == "__main__":
    main()
