"""Writing video files with PyAV, each frame at its own time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from ltr.admin.files import whole_file
from ltr.errors import UserError

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
# Holds a frame of 24, 25, 30, 50 and 60 frames a second, and with rounding those of 1001ths; MPEG-4 takes no finer one.
_CLOCK = Fraction(1, 60000)


@contextmanager
def video_writer(path: str | os.PathLike[str], rate: Fraction) -> Iterator[Callable[..., None]]:
    """A function that appends frames to a new H.264 video, which is complete when the block ends.

    It takes an image [H, W, 3] uint8 RGB, scaled where its size is not the first one's, its `time` in seconds since the
    first frame (later than that of the frame before; one frame later if left out), and the `duration` in seconds that
    it is shown for, which counts for the last frame alone.

    The file appears when the block ends without an error and a frame was added. Odd sizes are cropped by one pixel, as
    H.264 needs even ones. Where PyAV comes without libx264, MPEG-4 is used and a message says so.

    Args:
        path: ends in .mp4, .mov, .mkv or .avi; written whole. An AVI file has all its frames at the rate.
        rate: frames a second, for players and for frames without a time of their own.

    Raises:
        UserError: another ending.
        OSError: the file cannot be written, such as on a full disk; nothing is left at `path`.
    """
    target = Path(path)
    kind = _CONTAINERS.get(target.suffix.lower())
    if kind is None:
        raise UserError(f"{target}: cannot write this kind of video; use one of {', '.join(_CONTAINERS)}")
    clock = 1 / rate if kind == "avi" else _CLOCK
    with ExitStack() as stack:
        video: _Video | None = None

        def add(image: np.ndarray, time: float | None = None, duration: float | None = None) -> None:
            nonlocal video
            if video is None:
                temporary = os.fspath(stack.enter_context(whole_file(target)))
                container = stack.enter_context(av.open(temporary, "w", format=kind))
                video = _Video(container, image, rate, clock)
            video.add(image, time, duration)

        yield add
        if video is not None:
            video.finish()


class _Video:
    """A video that is being written. A frame waits for the next one, which says how long it is shown."""

    def __init__(self, container: Any, image: np.ndarray, rate: Fraction, clock: Fraction) -> None:
        self.container, self.clock = container, clock
        self.step = max(1, round(1 / (rate * clock)))
        self.exact_step = 1 / (rate * clock)
        codec, options = _codec()
        self.stream = container.add_stream(codec, rate=rate, options=options)
        self.stream.height, self.stream.width = (side // 2 * 2 for side in image.shape[:2])
        self.stream.pix_fmt = "yuv420p"
        self.stream.time_base = self.stream.codec_context.time_base = clock
        self.size = image.shape[1::-1]
        self.count = 0
        self.waiting: tuple[Any, int] | None = None
        self.last_duration = self.step
        self.durations: dict[int, int] = {}

    def add(self, image: np.ndarray, time: float | None, duration: float | None) -> None:
        place = round(self.count * self.exact_step) if time is None else round(time / self.clock)
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_LINEAR)
        even = np.ascontiguousarray(image[: self.stream.height, : self.stream.width])
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        if self.waiting is not None:
            # Two frames at one time would be refused.
            place = max(place, self.waiting[1] + 1)
            self._encode(place - self.waiting[1])
        self.waiting = frame, place
        self.last_duration = self.step if duration is None else max(1, round(duration / self.clock))
        self.count += 1

    def finish(self) -> None:
        self._encode(self.last_duration)
        self._write(self.stream.encode())

    def _encode(self, duration: int) -> None:
        assert self.waiting is not None
        frame, place = self.waiting
        frame.pts, frame.time_base, frame.duration = place, self.clock, duration
        self.durations[place] = duration
        self._write(self.stream.encode(frame))

    def _write(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts, self.step)
            self.container.mux(packet)


def _codec() -> tuple[str, dict[str, str]]:
    try:
        av.codec.Codec("libx264", "w")
    except av.codec.codec.UnknownCodecError:
        print("this PyAV has no libx264: the video is written as MPEG-4", file=sys.stderr)
        return "mpeg4", {"qscale": "3"}
    # Frames in the order they are seen: AVI knows no other, and the last one of an MP4 file keeps its duration.
    return "libx264", {"crf": "20", "preset": "veryfast", "bf": "0"}
