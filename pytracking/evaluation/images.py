"""Reading one frame from disk, an image file or a frame of a video file, noticing a damaged one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from ltr.data.image import read_image as read_image_file
from ltr.errors import ImageError, UserError
from pytracking.video import probe_video, read_video

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg"}


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode an image file, or a frame of a video file as `video_frames` names it.

    Returns:
        image: [H, W, 3] uint8 RGB.

    Raises:
        UserError: the file is missing, is not an image, or was cut short; a video without this frame, or damaged
            before it.
    """
    video = Path(path).parent
    if video.suffix.lower() in VIDEO_SUFFIXES and video.is_file():
        return _opened(video, video.stat().st_mtime_ns).frame(int(Path(path).name)).copy()
    try:
        return read_image_file(Path(path))
    except ImageError as error:
        raise UserError(str(error)) from None


def video_frames(path: Path) -> list[Path]:
    """Names for the frames of a video file, `clip.mp4/00000001` and on, which `read_image` takes.

    Raises:
        UserError: as `pytracking.video.read_video`. Where the container does not tell its number of frames, the whole
            video is decoded to count them.
    """
    frames = probe_video(path).frames or sum(1 for _ in read_video(path))
    return [path / f"{number:08d}" for number in range(1, frames + 1)]


class _OpenVideo:
    """A video that is read from frame to frame; a step back starts it again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.image: np.ndarray | None = None
        self.rest: Iterator[np.ndarray] = iter(())

    def frame(self, number: int) -> np.ndarray:
        """[H, W, 3] uint8 RGB of a frame, counted from 1."""
        if self.image is None or number < self.number:
            self.rest, self.number = read_video(self.path), 0
        while self.number < number:
            self.image = next(self.rest, None)
            self.number += 1
            if self.image is None:
                raise UserError(f"{self.path}: has {self.number - 1} frames, no frame {number}")
        assert self.image is not None
        return self.image


@lru_cache(maxsize=1)
def _opened(path: Path, modified: int) -> _OpenVideo:
    """The video that is being read, so that frames in order are decoded once; `modified` tells a changed file."""
    return _OpenVideo(path)
