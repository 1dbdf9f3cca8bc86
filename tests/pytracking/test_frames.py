"""Reading ahead: nothing is lost but what a live picture has outlived, and errors come through in their place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ltr.data.video import VideoFrame
from ltr.errors import UserError
from pytracking.stream import read_ahead

IMAGE = np.zeros((2, 2, 3), np.uint8)


def numbered(count: int, error: BaseException | None = None, read: list[int] | None = None) -> Iterator[VideoFrame]:
    for number in range(1, count + 1):
        if read is not None:
            read.append(number)
        yield VideoFrame(number, IMAGE, 0.04 * (number - 1), 0.04)
    if error is not None:
        raise error


def test_every_frame_comes_in_order() -> None:
    with read_ahead(numbered(50)) as frames:
        assert [frame.number for frame in frames] == list(range(1, 51))


def test_a_few_frames_wait_and_no_more() -> None:
    read: list[int] = []
    with read_ahead(numbered(1000, read=read)) as frames:
        next(frames)
        deadline = time.monotonic() + 20
        while len(read) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        threading.Event().wait(0.2)
        assert len(read) == 5, "one was taken, three wait, one is at the door"


@pytest.mark.parametrize("live", [False, True])
def test_an_error_comes_after_the_frames_before_it(live: bool) -> None:
    numbers = []
    with read_ahead(numbered(7, UserError("the end")), live) as frames, pytest.raises(UserError, match="the end"):
        for frame in frames:
            numbers.append(frame.number)
    assert numbers[-1] == 7


def test_live_frames_are_skipped_and_the_last_one_is_seen() -> None:
    taken: list[int] = []
    go_on = threading.Event()

    def camera() -> Iterator[VideoFrame]:
        for frame in numbered(20):
            if frame.number == 2:
                go_on.wait(20)
            yield frame
        finished.set()

    finished = threading.Event()
    with read_ahead(camera(), live=True) as frames:
        taken.append(next(frames).number)
        go_on.set()
        assert finished.wait(20)
        taken += [frame.number for frame in frames]
    assert taken == [1, 20]


def test_a_recording_is_held_back_as_a_camera_would() -> None:
    start = time.perf_counter()
    with read_ahead(numbered(6), recorded_from=0.0) as frames:
        seen = [(frame.time, time.perf_counter() - start) for frame in frames]
    assert len(seen) == 6 and all(now >= due for due, now in seen)


def test_leaving_early_ends_the_thread() -> None:
    with read_ahead(numbered(10**9)) as frames:
        next(frames)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames")]
    far = iter([VideoFrame(1, IMAGE, 0.0, 0.04), VideoFrame(2, IMAGE, 1e6, 0.04)])
    with read_ahead(far, live=True, recorded_from=0.0) as frames:
        next(frames)
