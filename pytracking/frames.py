"""Frames that are read while the last one is tracked: all of them, or, live, the newest one only."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from ltr.data.video import VideoFrame

_AHEAD = 3
# How often a waiting thread checks that it is still wanted; with a limit Ctrl-C is noticed on every system.
_TICK = 0.1


@contextmanager
def read_ahead(
    frames: Iterable[VideoFrame], live: bool = False, recorded_from: float | None = None
) -> Iterator[Iterator[VideoFrame]]:
    """Read frames in a thread of their own while the block works on those before; the thread ends with the block.

    Args:
        frames: source of the frames; an error there is raised in the block, after the frames before it.
        live: keep only the newest frame, so that a slow block skips frames rather than lags behind; the last frame is
            never skipped. Otherwise up to three frames wait, and none is skipped.
        recorded_from: hold each frame of a recording back until a camera would have delivered it, if this time of the
            recording, in seconds, were now.
    """
    waiting: deque[VideoFrame] = deque(maxlen=1 if live else None)
    changed = threading.Condition()
    ended, unwanted = threading.Event(), threading.Event()
    begun = time.perf_counter()

    def read() -> None:
        try:
            for frame in frames:
                if recorded_from is not None:
                    unwanted.wait(max(0.0, frame.time - recorded_from - (time.perf_counter() - begun)))
                with changed:
                    while not live and len(waiting) >= _AHEAD and not unwanted.is_set():
                        changed.wait(_TICK)
                    waiting.append(frame)
                    changed.notify_all()
                if unwanted.is_set():
                    return
        finally:
            with changed:
                ended.set()
                changed.notify_all()

    with ThreadPoolExecutor(1, "frames") as pool:
        reading = pool.submit(read)

        def take() -> Iterator[VideoFrame]:
            while True:
                with changed:
                    while not waiting and not ended.is_set():
                        changed.wait(_TICK)
                    if not waiting:
                        break
                    frame = waiting.popleft()
                    changed.notify_all()
                yield frame
            reading.result()

        try:
            yield take()
        finally:
            unwanted.set()
