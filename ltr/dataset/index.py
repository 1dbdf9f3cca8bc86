"""Training videos of an official layout, and the annotations of a data set in one cached file.

With the file a run starts without reading thousands of text files. It is an uncompressed npz in the cache folder, good
for as long as names, sizes and times of the annotation files are those that it was made from; one that is out of date
or damaged is made again, with a message.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from tqdm.contrib.concurrent import thread_map

from ltr.admin.files import whole_file
from ltr.admin.paths import cache_folder
from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.boxfile import positive, read_names
from ltr.dataset.layout import TITLES, SequenceFiles, read_annotation
from ltr.errors import AnnotationError, list_some, unknown_name

# Raise it where the content of an index changes its meaning: older files are then made again.
_FORMAT = 1
# Threads wait for a disk or a network; parsing itself takes turns.
_THREADS = 8
_CHUNK = 256


@dataclass(frozen=True)
class Index:
    """The annotations of N sequences with F frames in all.

    Attributes:
        names: [N] bytes (UTF-8), the sequences' names; one array, so that worker processes share it.
        starts: [N + 1] int64, the first frame of every sequence and F.
        boxes: [F, 4] float32 (x, y, w, h) in pixels of the frames.
        visible: [F] bool.
    """

    names: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Name of a sequence."""
        return bytes(self.names[index]).decode()

    def info(self, index: int) -> SequenceInfo:
        """Annotation of a sequence; its arrays are views."""
        span = slice(int(self.starts[index]), int(self.starts[index + 1]))
        boxes = self.boxes[span]
        return SequenceInfo(boxes, positive(boxes), self.visible[span])


class IndexedSequences:
    """A training data set whose sequences are those of its index; a subclass opens that and reads frames."""

    index: Index

    def __len__(self) -> int:
        return len(self.index)

    def sequence_name(self, index: int) -> str:
        """Name of a sequence, as the index has it."""
        return self.index.name(index)

    def sequence_info(self, index: int) -> SequenceInfo:
        """Annotation of a sequence."""
        return self.index.info(index)


def make_index(names: Sequence[str], annotations: Sequence[tuple[np.ndarray, np.ndarray]]) -> Index:
    """An index of the boxes [T, 4] and visibility [T] of sequences."""
    lengths = [len(boxes) for boxes, _ in annotations]
    # A box that is no number would hide in float32 arrays of another shape, so the shapes are set even if empty.
    boxes = np.concatenate([boxes.astype(np.float32) for boxes, _ in annotations] or [np.empty((0, 4), np.float32)])
    visible = np.concatenate([visible.astype(bool) for _, visible in annotations] or [np.empty(0, bool)])
    coded = np.array([name.encode() for name in names], dtype=np.bytes_ if names else "S1")
    return Index(coded, np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))), boxes.reshape(-1, 4), visible)


def read_index(names: Sequence[str], read: Callable[[int], tuple[np.ndarray, np.ndarray]], title: str) -> Index:
    """Read all annotations with several threads and a progress bar.

    Args:
        read: number of a sequence -> boxes [T, 4], visibility [T].

    Raises:
        AnnotationError: what `read` raises, of the first sequence in order.
    """
    numbers, bar = range(len(names)), f"index of {title}"
    found = thread_map(read, numbers, max_workers=_THREADS, desc=bar, unit="sequence", disable=None, leave=False)
    return make_index(names, found)


def index_file(name: str, root: Path) -> Path:
    """The index of the data set `name` whose copy lies at `root`: one file a data set, split and place."""
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    return cache_folder() / "index" / f"{name}-{place}.npz"


def _fingerprint(root: Path, files: Sequence[Path], rule: str) -> str:
    """A digest of the names, sizes and times of annotation files, and of the rule that they are read by."""
    start = len(str(root))

    def describe(path: Path) -> str:
        try:
            status = os.stat(path)
        except OSError as error:
            raise AnnotationError(f"cannot read the annotation {path}: {error.strerror}") from error
        return f"{str(path)[start:]} {status.st_size} {status.st_mtime_ns}\n"

    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = [files[k : k + _CHUNK] for k in range(0, len(files), _CHUNK)]
        parts = pool.map(lambda chunk: "".join(map(describe, chunk)), chunks)
        text = "".join([f"{_FORMAT}\n{rule}\n", *parts])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def open_index(name: str, root: Path, files: Sequence[Path], rule: str, build: Callable[[], Index]) -> Index:
    """The index of a data set: from the cache where it is good, else built and put there.

    Args:
        name: data set and split, a part of the file's name.
        root: the folder of the copy.
        files: the annotation files that decide the content.
        rule: how they are read, such as the visibility rule; another rule is another index.
        build: reads the annotations.

    Raises:
        AnnotationError: an annotation file is missing, or what `build` raises.
    """
    wanted = _fingerprint(root, files, rule)
    path = index_file(name, root)
    found, reason = _load(path, wanted)
    if found is not None:
        return found
    if reason:
        print(f"the index {path} {reason}: reading the annotations of {name} again", file=sys.stderr)
    index = build()
    try:
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, fingerprint=np.array(wanted), **vars(index))
    except OSError as error:
        print(
            f"the index of {name} cannot be kept in {path.parent}: {error.strerror}; the next start reads all "
            "annotations again. EBM_TRACKING_CACHE names another folder",
            file=sys.stderr,
        )
    return index


def _load(path: Path, wanted: str) -> tuple[Index | None, str]:
    """The index of a file; None where there is none or it is not good, and then why."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if str(content["fingerprint"]) != wanted:
                return None, "is out of date"
            # A zip archive has a checksum of each array.
            return Index(content["names"], content["starts"], content["boxes"], content["visible"]), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return None, f"is damaged ({error})"


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
        names = [video.name for video in videos]
        there = set(names) if found is None else found
        missing = sorted(set(names) - there)
        if missing or not names:
            lacks = f"{len(missing)}, first {list_some(missing)}" if missing else "0"
            raise AnnotationError(
                f"{root} has {len(there)} sequences; split '{split}' of {TITLES[name.partition('_')[0]]} lacks {lacks}"
                f": is the copy whole? (python -m ltr check says more; a text file of names can replace '{split}')"
            )
        annotations = [path for video in videos for path in (video.annotation, *(flag.path for flag in video.flags))]
        self.index = open_index(
            name,
            root,
            annotations,
            "visible: positive box, no flag",
            lambda: read_index(names, lambda k: _read(videos[k]), name),
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
