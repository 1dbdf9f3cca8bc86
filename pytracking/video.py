"""Reading and writing video files with PyAV, noticing damaged ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ltr.admin.files import whole_file
from ltr.errors import UserError

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
_DEFAULT_RATE = Fraction(30)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    Attributes:
        rate: frames a second.
        frames: number of frames, None where the container does not tell.
    """

    rate: Fraction
    frames: int | None


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Frame rate and length of a video file. Raises `UserError` as `read_video` does."""
    with _open(path) as container:
        stream = container.streams.video[0]
        return VideoInfo(stream.average_rate or _DEFAULT_RATE, stream.frames or None)


def read_video(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """The frames of a video file in order, turned upright where the file says how it was held.

    Yields:
        image: [H, W, 3] uint8 RGB.

    Raises:
        UserError: the file is missing, is not a video, a frame cannot be decoded, or it ends before the number of
            frames, or the time, that it announces; the frames before that were yielded.
    """
    decoded = packets = 0
    end = 0.0
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for packet in container.demux(stream):
                packets += packet.size > 0
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise _damaged(path, decoded, stream.frames)
                    yield _upright(frame)
                    decoded += 1
                    end = max(end, frame.time or 0.0)
        except av.error.FFmpegError as error:
            raise _damaged(path, decoded, stream.frames) from error
        if decoded == 0:
            raise UserError(f"{path}: the video has no frame that can be decoded")
        if packets < stream.frames:
            raise UserError(f"{path}: ends after {decoded} of {stream.frames} frames: the file is truncated or damaged")
        announced = _announced_seconds(stream)
        if end + 2 / (stream.average_rate or _DEFAULT_RATE) < announced:
            raise UserError(
                f"{path}: ends after {end:.2f} of {announced:.2f} seconds: the file is truncated or damaged"
            )


@contextmanager
def video_writer(path: str | os.PathLike[str], rate: Fraction) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that appends RGB frames [H, W, 3] uint8 to a new H.264 video, which is complete when the block ends.

    The file appears when the block ends without an error and a frame was added. Odd sizes are cropped by one pixel, as
    H.264 needs even ones. Where PyAV comes without libx264, MPEG-4 is used and a message says so.

    Args:
        path: ends in .mp4, .mov, .mkv or .avi; written whole.
        rate: frames a second.

    Raises:
        UserError: another ending, or frames that change size.
        OSError: the file cannot be written, such as on a full disk; nothing is left at `path`.
    """
    target = Path(path)
    kind = _CONTAINERS.get(target.suffix.lower())
    if kind is None:
        raise UserError(f"{target}: cannot write this kind of video; use one of {', '.join(_CONTAINERS)}")
    stream: Any = None
    with ExitStack() as stack:

        def add(image: np.ndarray) -> None:
            nonlocal stream
            height, width = (side // 2 * 2 for side in image.shape[:2])
            if stream is None:
                container = stack.enter_context(av.open(stack.enter_context(_beside(target)), "w", format=kind))
                codec, options = _codec()
                stream = container.add_stream(codec, rate=rate, options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            if (width, height) != (stream.width, stream.height):
                raise UserError(f"the frames change size, from {stream.width} x {stream.height} to {width} x {height}")
            even = np.ascontiguousarray(image[:height, :width])
            stream.container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

        yield add
        if stream is not None:
            stream.container.mux(stream.encode())


@contextmanager
def _beside(target: Path) -> Iterator[str]:
    """`whole_file` as text, which is what PyAV takes."""
    with whole_file(target) as temporary:
        yield os.fspath(temporary)


def _codec() -> tuple[str, dict[str, str]]:
    try:
        av.codec.Codec("libx264", "w")
    except av.codec.codec.UnknownCodecError:
        print("this PyAV has no libx264: the video is written as MPEG-4", file=sys.stderr)
        return "mpeg4", {"qscale": "3"}
    return "libx264", {"crf": "20", "preset": "veryfast"}


def _open(path: str | os.PathLike[str]) -> Any:
    try:
        container = av.open(os.fspath(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such video") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a video") from None
    except av.error.FFmpegError:
        raise UserError(f"{path}: cannot be opened as a video: it is another kind of file, or truncated") from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{path}: holds no video")
    return container


def _announced_seconds(stream: Any) -> float:
    """How long a Matroska stream claims to be ('00:00:02.400000000'); 0 where nothing is claimed."""
    clock = str(stream.metadata.get("DURATION", "")).split(":")
    try:
        hours, minutes, seconds = (float(part) for part in clock)
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


def _damaged(path: str | os.PathLike[str], decoded: int, announced: int) -> UserError:
    of = f" of {announced}" if announced else ""
    return UserError(f"{path}: frame {decoded + 1}{of} cannot be decoded: the file is damaged")


def _upright(frame: Any) -> np.ndarray:
    """RGB image of a frame; phones store it lying and say by how much to turn it, counter-clockwise, in degrees."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
