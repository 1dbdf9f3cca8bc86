"""Training videos of an official layout: which of them belong to a split, and one index of their annotations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from ltr.data.image import read_image
from ltr.dataset.boxfile import read_names
from ltr.dataset.index import IndexedSequences, open_index, read_index
from ltr.dataset.layout import TITLES, SequenceFiles, read_annotation
from ltr.errors import AnnotationError, list_some, unknown_name


def read_split(dataset: str, split: str, lists: Mapping[str, str]) -> list[str]:
    """The names in a split's list: one of the field's, which come with the package, or one of your own.

    Args:
        dataset: for messages.
        split: a key of `lists`, or the path of a text file (`.txt`) with one entry a line.
        lists: split -> file in `ltr/dataset/splits`.

    Raises:
        UserError: an unknown split; the nearest is named.
        AnnotationError: a list of your own that is missing or empty, or a name that could lead to another folder.
    """
    if split.endswith(".txt"):
        return read_names(os.path.expanduser(split))
    if split not in lists:
        raise unknown_name(f"split of {dataset}", split, [*lists, "all"])
    text = (resources.files("ltr.dataset") / "splits" / lists[split]).read_text(encoding="utf-8")
    return text.split()


def split_label(split: str) -> str:
    """A word for a split in names: of a file, its stem."""
    return Path(split).stem if split.endswith(".txt") else split


class IndexedVideos(IndexedSequences):
    """Videos whose annotations come from a cached index (`ltr.dataset.index`).

    Args:
        name: data set and split.
        root: folder of the copy.
        videos: their files.
        split: as the recipe names it, for messages.
        found: the names on disk; None for the names of `videos`.

    Raises:
        AnnotationError: a sequence of the split is not on disk, or an annotation is missing or cannot be read. All are
            read when the index is made, so that a run does not stop at one in its third day.
    """

    is_video = True

    def __init__(
        self, name: str, root: Path, videos: Sequence[SequenceFiles], split: str, found: set[str] | None = None
    ) -> None:
        self.name = name
        self.root = root
        self.videos = tuple(videos)
        _require(TITLES[name.partition("_")[0]], split, root, [video.name for video in videos], found)
        annotations = [path for video in videos for path in (video.annotation, *(flag.path for flag in video.flags))]
        self.index = open_index(
            name,
            root,
            annotations,
            "visible: positive box, no flag",
            lambda: read_index([video.name for video in videos], lambda k: _read(videos[k]), name),
        )

    def frame_files(self, index: int, frame_ids: Sequence[int]) -> tuple[list[Path], Path]:
        """The files of frames, and that of the sequence's first."""
        files = self.videos[index]
        paths = [files.folders[0] / files.frame_name(files.first + frame) for frame in (0, *frame_ids)]
        return paths[1:], paths[0]

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 RGB [H, W, 3]."""
        files, first = self.frame_files(index, frame_ids)
        return [read_image(file, first) for file in files]


def _read(files: SequenceFiles) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [T, 4] float32, and where the target can be learned from [T]."""
    annotation = read_annotation(files)
    return annotation.boxes.astype(np.float32), annotation.visible


def _require(dataset: str, split: str, root: Path, wanted: list[str], found: set[str] | None) -> None:
    """Refuse a copy that lacks sequences of a split. Raises AnnotationError, naming how many are missing."""
    there = set(wanted) if found is None else found
    missing = sorted(set(wanted) - there)
    if missing or not wanted:
        first = f", first {list_some(missing)}" if missing else ""
        raise AnnotationError(
            f"{root} has {len(there)} sequences; split '{split}' of {dataset} lacks {len(missing)}{first}: is the copy "
            f"whole? (python -m ltr check says more; a text file of names can replace '{split}')"
        )
