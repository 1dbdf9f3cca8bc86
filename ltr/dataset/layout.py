"""Where the files of one sequence lie, how its frames are named, and what its annotation says: one reader for training
and evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.inputs import check_name
from ltr.data.image import IMAGE_SUFFIXES
from ltr.dataset.boxfile import positive, read_boxes, read_flags, read_polygons
from ltr.errors import AnnotationError, MissingFileError

_LISTS = Path(__file__).parent / "sequence_lists"
TITLES = {
    "otb": "OTB-100",
    "nfs": "NFS (30 frames a second)",
    "uav": "UAV123",
    "lasot": "LaSOT",
    "lasot_extension_subset": "LaSOT's extension subset",
    "trackingnet": "TrackingNet",
    "got10k": "GOT-10k",
    "got10k_test": "GOT-10k",
    "got10k_val": "GOT-10k",
    "vot": "a VOT-style data set",
}
_NUMBER = re.compile(r"([0-9]+)")


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
class SequenceFiles:
    """The places of a sequence's files, there or not.

    Attributes:
        name: name of the sequence, unique within its data set.
        dataset: name of the data set.
        root: folder of the data set.
        folders: places of the frames; the first one is the official one, copies may have another. A video file
            stands for the folder of its frames.
        annotation: file of boxes, one a frame from `first` on; for `masks` the folder of the masks.
        numbered: whether frames have official names; else every image of the folder is a frame, in order of the
            numbers in the names.
        first: number of the first annotated frame.
        last: number of the last one; None where the frames simply go on to the end.
        digits: frame numbers are padded with zeros to this length.
        suffixes: endings of the frames' names, the official one first.
        omitted: annotated frames before the first one that is evaluated.
        first_only: whether the annotation has only the first box.
        marks_absence: whether NaN or empty boxes after the first are the way to say that the target is absent.
        polygons: whether the annotation may have polygons.
        flags: files that tell where the target is hidden.
        object_class: class of the target, if known.
        attributes: short names of the challenges in the sequence, if known.
        masks: reads the boxes [T, 4] and the mask files from a folder of masks, where that is the annotation.
        problem: fault of the sequence that is known before any file of it is read; '' where there is none.
        hint: oddity of the sequence, for whoever finds a fault in it.
    """

    name: str
    dataset: str
    root: Path
    folders: tuple[Path, ...]
    annotation: Path
    numbered: bool = True
    first: int = 1
    last: int | None = None
    digits: int = 8
    suffixes: tuple[str, ...] = ("jpg",)
    omitted: int = 0
    first_only: bool = False
    marks_absence: bool = False
    polygons: bool = False
    flags: tuple[FlagFile, ...] = ()
    object_class: str | None = None
    attributes: tuple[str, ...] | None = None
    masks: Callable[[], np.ndarray] | None = None
    problem: str = ""
    hint: str = ""

    def frame_name(self, number: int, suffix: str | None = None) -> str:
        """The name of a frame's file."""
        return f"{number:0{self.digits}d}.{suffix or self.suffixes[0]}"

    def on_disk(self) -> bool:
        """Whether anything of the sequence is there: a place for its frames, and its annotation."""
        return self.annotation.exists() and any(folder.exists() for folder in self.folders)


@dataclass(frozen=True)
class Annotation:
    """What the text files of a sequence say of its T frames (of the first alone where only that is public).

    Attributes:
        boxes: [T, 4] float64 (x, y, w, h), as they stand in the file.
        shown: [T] bool, False where a flag, or the annotation itself, says that the target is hidden; None where
            nothing is known.
        polygons: [T, 4, 2] float64 (x, y), the corners where the annotation has rotated boxes; None otherwise.
    """

    boxes: np.ndarray
    shown: np.ndarray | None = None
    polygons: np.ndarray | None = None

    @property
    def visible(self) -> np.ndarray:
        """[T] bool, where there is something to learn from: a positive box that nothing hides."""
        there = positive(self.boxes)
        return there if self.shown is None else there & self.shown


def read_annotation(files: SequenceFiles) -> Annotation:
    """Read the text files of a sequence.

    Raises:
        AnnotationError: a file is missing or cannot be read, or has another number of flags than there are boxes.
    """
    check_sequence_name(files)
    polygons = None
    if files.masks is not None:
        boxes = files.masks()
    elif files.polygons:
        boxes, polygons = read_polygons(files.annotation)
    else:
        boxes = read_boxes(files.annotation, lone_zero=not files.numbered)
    if files.first_only:
        boxes, polygons = boxes[:1], None if polygons is None else polygons[:1]
    finite = np.isfinite(boxes).all(axis=1)
    if files.flags:
        shown = np.ones(len(boxes), bool)
        for flag in files.flags:
            values = read_flags(flag.path)
            if len(values) != len(boxes):
                raise AnnotationError(f"{flag.path}: {len(values)} flags for {len(boxes)} boxes in {files.annotation}")
            shown &= flag_shows(flag, values)
        return Annotation(boxes, shown, polygons)
    # Own recordings, masks and VOT say in the annotation itself where the target is absent.
    says_itself = not files.numbered or (files.polygons and not finite.all())
    return Annotation(boxes, finite if says_itself else None, polygons)


def flag_shows(flag: FlagFile, values: np.ndarray) -> np.ndarray:
    """Where the flags [T] of a file say that the target is seen."""
    return (values != 0) if flag.hidden_if_zero else (values == 0)


def check_sequence_name(files: SequenceFiles) -> None:
    """Refuse a sequence whose name or files cannot be used. Raises AnnotationError."""
    try:
        check_name("sequence", files.name)
    except ValueError as error:
        raise AnnotationError(str(error)) from None
    if files.problem:
        raise AnnotationError(files.problem)


def locate_frames(files: SequenceFiles) -> list[Path]:
    """The frames of a sequence that are on disk, in order, without opening them; of a video file, names of its frames.

    Numbered frames run from the first to the last official number, or to as many as there are.

    Raises:
        AnnotationError: there is no frame, or the first one is in no known place.
    """
    if files.folders[0].is_file():
        from ltr.data.video import video_frames

        return video_frames(files.folders[0])
    if not files.numbered:
        return list_images(files.folders[0])
    for folder in files.folders:
        for suffix in files.suffixes:
            if (folder / files.frame_name(files.first, suffix)).is_file():
                last = files.last
                if last is None:
                    frames = (file for file in folder.iterdir() if file.suffix == f".{suffix}" and is_number(file.stem))
                    last = files.first + sum(1 for _ in frames) - 1
                return [folder / files.frame_name(n, suffix) for n in range(files.first + files.omitted, last + 1)]
    raise AnnotationError(no_first_frame(files))


def no_first_frame(files: SequenceFiles) -> str:
    """The message for a sequence whose frames are in no known place."""
    return (
        f"{files.folders[0] / files.frame_name(files.first)}: no such frame; is {files.root} the folder of "
        f"{TITLES.get(files.dataset, files.dataset)}? `python -m pytracking check {files.dataset}` tells what is there"
    )


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in the order of the numbers in their names, so that 10.jpg follows 9.jpg.

    Raises:
        AnnotationError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder of frames")
    if not (images := find_images(folder)):
        raise AnnotationError(f"{folder}: no frames ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return images


def find_images(folder: Path) -> list[Path]:
    """The images of a folder in the order of the numbers in their names; empty where there is none."""
    found = (file for file in folder.glob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != ".")
    return sorted(found, key=lambda file: (_natural(file.stem), file.name))


def _natural(stem: str) -> list[Any]:
    # Text and numbers alternate, starting with text (which may be empty), so that the keys can be compared. A number
    # is compared by its length and digits, as Python does not turn thousands of digits into a number.
    parts = _NUMBER.split(stem)
    return [(len(part.lstrip("0")), part.lstrip("0")) if place % 2 else part for place, part in enumerate(parts)]


def is_number(text: str) -> bool:
    """Whether a text is of the digits 0 to 9, and of one at least."""
    return text.isascii() and text.isdecimal()


@cache
def load_list(file: str) -> Any:
    """A list of sequences that comes with the package (`ltr/dataset/sequence_lists/README.txt`)."""
    return json.loads((_LISTS / file).read_text(encoding="utf-8"))


@cache
def load_attributes(file: str) -> dict[str, tuple[str, ...]]:
    """Sequence -> short names of its attributes, from a file that comes with the package."""
    return {name: tuple(attributes) for name, attributes in load_list(file)["sequences"].items()}


@cache
def attribute_names() -> dict[str, str]:
    """Short name -> long name of every attribute that a data set lists, such as 'SV' -> 'scale variation'."""
    return {
        short: long.lower()
        for file in sorted(_LISTS.glob("*_attributes.json"))
        for short, long in load_list(file.name)["names"].items()
    }


def require_folder(root: Path, wanted: str) -> None:
    """Raises MissingFileError where a data set's folder is not there; `wanted` says what should be in it."""
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder: wanted {wanted}")
