"""Reading video files with PyAV: upright frames with their times, damage noticed, and no header believed.

What counts is what is decoded: the number of frames, and the time of each. Containers announce more than there is,
less, or the impossible.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from ltr.data.containers import cut_short, refuse_bombs
from ltr.data.media import MAX_PIXELS, find_levels, media_status, to_8_bits, too_large, turned
from ltr.errors import UserError

DEFAULT_RATE = Fraction(30)
# Rates that no camera has are made up by the container, such as the 1000 ticks a second of a browser's recording.
_RATES = (1, 240)
_PACKETS_FOR_RATE = 1000
# Seconds between two frames; MP4 counts them in 31 bits of `pytracking.video`'s clock.
_LONGEST_GAP = 32768.0
# What opens other files (playlists, patterns of names) is not among them.
_FORMATS = (
    "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,h264,hevc,vvc,obu,av1,ivf,flv,ogg,asf,mjpeg,mxf,nut,yuv4mpegpipe,"
    "gif,apng,m4v,mp4,dv,rm,3gp,wtv,mpjpeg,wav,mp3,flac,aac"
)
_LARGE = 4096 * 2304


class VideoInfo(NamedTuple):
    """Frames a second, by their times where the header's is not from 1 to 240, and the announced number, if any."""

    rate: Fraction
    frames: int | None


@dataclass(frozen=True)
class VideoFrame:
    """A frame and when it is seen.

    Attributes:
        number: counted from 1.
        image: [H, W, 3] uint8 RGB, of the size of the video's first frame.
        time: seconds since the first frame.
        duration: seconds that the container shows it for.
    """

    number: int
    image: np.ndarray
    time: float
    duration: float


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Frame rate and announced length of a video file. Raises `UserError` as `read_video` does."""
    with _open(path) as container:
        stream = container.streams.video[0]
        return VideoInfo(_rate(container, stream), _announced(path, stream))


def read_video(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """The images of `read_timed`: [H, W, 3] uint8 RGB. Raises `UserError` as it does."""
    return (frame.image for frame in read_timed(path))


def read_timed(path: str | os.PathLike[str]) -> Iterator[VideoFrame]:
    """The frames that a player shows of a video file, in order, upright and all of the first one's size.

    Display matrices (turned, mirrored) and edit lists (trimmed) are followed. Frames of another size, as in a stream
    that changes its quality, are scaled to the first. More than 8 bits are brought to 8 by `video_levels`.

    Raises:
        UserError: the file is missing, is not a video, a frame cannot be decoded or is larger than `MAX_PIXELS`, or the
            file is cut short; the frames before that were yielded.
    """
    held: VideoFrame | None = None
    try:
        for frame in _timed(path, probe_video(path).rate):
            if held is not None:
                yield held
            held = frame
    except UserError:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield replace(held, duration=max(held.duration, min(_announced_end(path) - held.time, _LONGEST_GAP)))


def _timed(path: str | os.PathLike[str], rate: Fraction) -> Iterator[VideoFrame]:
    """`read_timed` without the time that an AVI file holds its last frame for."""
    levels: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    start = last = None
    for number, frame in enumerate(_decode(path), 1):
        if _is_deep(frame):
            deep = _to_16_bits(frame)
            # The video's first frame that is not flat decides.
            levels = levels or find_levels(deep)
            image = to_8_bits(deep, levels)
            image = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        else:
            image = frame.to_ndarray(format="rgb24")
        image = _upright(image, frame)
        size = size or image.shape[1::-1]
        if image.shape[1::-1] != size:
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        time = frame.time
        if last is not None and (time is None or not last < time < last + _LONGEST_GAP):
            time = last + float(1 / rate)
        last = time or 0.0
        start = last if start is None else start
        yield VideoFrame(number, image, last - start, _duration(frame, rate))


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of frames that `read_video` gives, found by decoding them all, once for each file. Errors as there."""
    return _survey(os.fspath(path), _check_file(path).st_mtime_ns)[0]


def video_notes(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """What is unusual about a video that is read all the same: ('size change' or 'note', what). See `count_frames`."""
    frames, sizes = _survey(os.fspath(path), _check_file(path).st_mtime_ns)
    with _open(path) as container:
        announced = container.streams.video[0].frames
    found = []
    if len(sizes) > 1:
        (_, *first), (number, *changed) = sizes[:2]
        change = "has {} x {} pixels; frames are scaled to the {} x {} of the first".format(*changed, *first)
        times = f"; the size changes {len(sizes) - 1} times" if len(sizes) > 2 else ""
        found.append(("size change", f"{path}: frame {number} {change}{times}"))
    if announced > 0 and announced != frames:
        found.append(("note", f"{path}: announces {announced} frames; {frames} can be seen"))
    return found


def video_frames(path: Path) -> list[Path]:
    """Names for a video's frames, `clip.mp4/00000001` and on, for `ltr.data.image.read_image`. See `count_frames`."""
    return [path / f"{number:08d}" for number in range(1, count_frames(path) + 1)]


def read_frame(path: Path) -> np.ndarray:
    """The frame [H, W, 3] uint8 RGB that a name of `video_frames` stands for. Raises `UserError` without one."""
    video = path.parent
    if not (path.name.isascii() and path.name.isdigit() and len(path.name) < 12 and int(path.name) > 0):
        raise UserError(f"{path}: '{path.name}' is no number of a frame; frames are counted from 00000001")
    return _opened(video, video.stat().st_mtime_ns)(int(path.name)).copy()


def video_levels(path: Path) -> tuple[float, float] | None:
    """The values, of 16 bits, that become black and white in a video; None where it has 8 bits.

    They are those of `ltr.data.media.find_levels` for the first frame that is not flat.
    """
    for frame in _decode(path):
        levels = find_levels(_to_16_bits(frame)) if _is_deep(frame) else None
        if levels or not _is_deep(frame):
            return levels
    return None


@lru_cache(maxsize=1024)
def _survey(path: str, modified: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Number of frames, and the number, width and height of each whose stored size is not that of the one before."""
    number = 0
    sizes: list[tuple[int, int, int]] = []
    for number, frame in enumerate(_decode(path), 1):
        if not sizes or sizes[-1][1:] != (frame.width, frame.height):
            sizes.append((number, frame.width, frame.height))
    return number, sizes


@lru_cache(maxsize=1)
def _opened(path: Path, modified: int) -> Callable[[int], np.ndarray]:
    """What gives a video's frames by number, from 1, decoding those in order once; `modified` tells a changed file."""
    rest: Iterator[np.ndarray] = iter(())
    image: np.ndarray | None = None
    place = 0

    def frame(number: int) -> np.ndarray:
        nonlocal rest, image, place
        if image is None or number < place:
            rest, place = read_video(path), 0
        while place < number:
            image = next(rest, None)
            place += 1
            if image is None:
                raise UserError(f"{path}: has {place - 1} frames, no frame {number}")
        assert image is not None
        return image

    return frame


def _decode(path: str | os.PathLike[str]) -> Iterator[Any]:
    """PyAV's frames of a video; raises `UserError` where one is damaged or the file is cut short."""
    decoded = 0
    with _open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise UserError(too_large(path, context.width, context.height))
        # A thread a frame multiplies the memory, which only small frames can afford.
        stream.thread_type = "AUTO" if context.width * context.height <= _LARGE else "SLICE"
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
        try:
            for packet in container.demux(stream):
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise _damaged(path, decoded, stream.frames)
                    if frame.width * frame.height > MAX_PIXELS:
                        raise UserError(too_large(path, frame.width, frame.height))
                    yield frame
                    decoded += 1
        except UserError:
            raise
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            raise _damaged(path, decoded, stream.frames) from error
        except MemoryError as error:
            raise UserError(f"{path}: frame {decoded + 1} needs more memory than there is") from error
    if decoded == 0:
        raise UserError(f"{path}: the video has no frame that can be decoded")
    if cut_short(path):
        raise UserError(f"{path}: ends after {decoded} frames, before its announced end: the file is truncated")


def _open(path: str | os.PathLike[str]) -> Any:
    _check_file(path)
    refuse_bombs(path)
    try:
        # With the protocol, a colon in the name is no protocol. Nothing but this one file is opened.
        container = av.open(
            f"file:{os.fspath(path)}", options={"protocol_whitelist": "file", "format_whitelist": _FORMATS}
        )
    except (av.error.FFmpegError, ValueError):
        raise UserError(f"{path}: cannot be opened as a video: it is another kind of file, or truncated") from None
    streams = container.streams.video
    if streams and streams[0].codec_context is not None:
        return container
    container.close()
    what = "FFmpeg has no decoder for its video; convert it, for example to H.264" if streams else "holds no video"
    raise UserError(f"{path}: {what}")


def _check_file(path: str | os.PathLike[str]) -> os.stat_result:
    if not os.path.exists(path):
        raise UserError(f"{path}: no such video")
    return media_status(path, "video")


def _rate(container: Any, stream: Any) -> Fraction:
    rate: Fraction | None = stream.average_rate
    if rate is not None and _RATES[0] <= rate <= _RATES[1]:
        return rate
    packets = islice(container.demux(stream), _PACKETS_FOR_RATE)
    times = [packet.pts * stream.time_base for packet in packets if packet.pts is not None]
    if len(times) > 1 and max(times) > min(times):
        measured = Fraction(len(times) - 1) / (max(times) - min(times))
        return min(max(measured, Fraction(1, 10)), Fraction(_RATES[1])).limit_denominator(1001)
    return DEFAULT_RATE


def _announced(path: str | os.PathLike[str], stream: Any) -> int | None:
    """The number of frames that the header tells, where the bytes of the file have room for as many."""
    return stream.frames if 0 < stream.frames <= os.path.getsize(path) // 8 else None


def _announced_end(path: str | os.PathLike[str]) -> float:
    """Seconds of an AVI file, which holds a frame by empty ones behind it; 0 for others, which say so otherwise."""
    with _open(path) as container:
        stream = container.streams.video[0]
        frames = _announced(path, stream) if container.format.name == "avi" else None
        return float(frames / stream.average_rate) if frames and stream.average_rate else 0.0


def _duration(frame: Any, rate: Fraction) -> float:
    if frame.duration and frame.time_base is not None and 0 < frame.duration * frame.time_base < _LONGEST_GAP:
        return float(frame.duration * frame.time_base)
    return float(1 / rate)


def _is_deep(frame: Any) -> bool:
    return any(component.bits > 8 for component in frame.format.components)


def _to_16_bits(frame: Any) -> np.ndarray:
    """[H, W] or [H, W, 3] uint16: values of 10 or 12 bits are spread over 16."""
    return np.asarray(frame.to_ndarray(format="gray16le" if len(frame.format.components) == 1 else "rgb48le"))


def _upright(image: np.ndarray, frame: Any) -> np.ndarray:
    """The image as its display matrix says that it is to be seen: all eight turned and mirrored cases."""
    data = next((bytes(item) for item in frame.side_data if item.type == SideDataType.DISPLAYMATRIX), b"")
    if len(data) < 36:
        return image
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:36])
    # A stored pixel (x, y) is seen at (a x + c y, b x + d y), up to a shift that brings it back into the picture.
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    return turned(image, transposed, down=(b if transposed else d) < 0, right=(c if transposed else a) < 0)


def _damaged(path: str | os.PathLike[str], decoded: int, announced: int) -> UserError:
    of = f" of {announced}" if announced > 0 else ""
    return UserError(f"{path}: frame {decoded + 1}{of} cannot be decoded: the file is damaged")
