"""Writing video files with PyAV."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ltr.admin.files import whole_file
from ltr.errors import UserError

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
_DEFAULT_RATE = Fraction(30)


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
