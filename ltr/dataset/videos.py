"""Training videos in an official layout: numbered frames in a folder, annotations in text files, one index of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.data.image import read_image
from ltr.dataset.boxfile import positive, read_boxes, read_flags
from ltr.dataset.index import IndexedSequences, open_index, read_index
from ltr.errors import AnnotationError


@dataclass(frozen=True)
class FlagFile:
    """A text file with a whole number a frame that tells whether the target is seen.

    Attributes:
        path: the file.
        hidden_if_zero: the target is hidden where the number is 0 (a cover), else where it is not 0 (an absence).
        highest: the largest number that can occur.
    """

    path: Path
    hidden_if_zero: bool = False
    highest: int = 1


@dataclass(frozen=True)
class VideoFiles:
    """Where the files of one video lie.

    Attributes:
        name: of the sequence.
        frames: folder of the frames.
        annotation: text file with a box a line.
        flags: files that tell where the target is hidden.
        first: number of the first frame.
        digits: frame numbers are padded with zeros to this length.
        suffix: of the frames.
    """

    name: str
    frames: Path
    annotation: Path
    flags: tuple[FlagFile, ...] = ()
    first: int = 1
    digits: int = 8
    suffix: str = ".jpg"

    def frame_name(self, frame: int) -> str:
        """File name of a frame, counted from 0."""
        return f"{frame + self.first:0{self.digits}d}{self.suffix}"


def read_annotation(files: VideoFiles) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [T, 4] float32, and whether the target is visible [T]: a box of positive size, and no flag against it.

    Raises:
        AnnotationError: a file is missing or cannot be read, or has another number of flags than there are boxes.
    """
    boxes = read_boxes(files.annotation).astype(np.float32)
    visible = positive(boxes)
    for flag in files.flags:
        values = read_flags(flag.path)
        if len(values) != len(boxes):
            raise AnnotationError(f"{flag.path} has {len(values)} flags for {len(boxes)} boxes")
        visible &= (values != 0) if flag.hidden_if_zero else (values == 0)
    return boxes, visible


class IndexedVideos(IndexedSequences):
    """Videos whose annotations come from a cached index (`ltr.dataset.index`).

    Args:
        name: data set and split.
        root: folder of the copy.
        videos: their files.

    Raises:
        AnnotationError: an annotation is missing or cannot be read. All are read when the index is made, so that a run
            does not stop at one in its third day.
    """

    is_video = True

    def __init__(self, name: str, root: Path, videos: Sequence[VideoFiles]) -> None:
        self.name = name
        self.root = root
        self.videos = tuple(videos)
        annotations = [path for video in videos for path in (video.annotation, *(flag.path for flag in video.flags))]
        self.index = open_index(
            name,
            root,
            annotations,
            "visible: positive box, no flag",
            lambda: read_index([video.name for video in videos], lambda k: read_annotation(videos[k]), name),
        )

    def frame_files(self, index: int, frame_ids: Sequence[int]) -> tuple[list[Path], Path]:
        """The files of frames, and that of the sequence's first."""
        files = self.videos[index]
        return [files.frames / files.frame_name(frame) for frame in frame_ids], files.frames / files.frame_name(0)

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 RGB [H, W, 3]."""
        files, first = self.frame_files(index, frame_ids)
        return [read_image(file, first) for file in files]
