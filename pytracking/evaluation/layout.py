"""Where the files of one sequence lie, how its frames are numbered, and how they become a `Sequence`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ltr.dataset.boxfile import read_boxes, read_flags, read_polygons
from ltr.errors import UserError
from pytracking.evaluation.data import Sequence

_LISTS = Path(__file__).parent / "sequence_lists"


@dataclass(frozen=True)
class SequenceFiles:
    """The official places of a sequence's files, in a data set whose frames are numbered.

    Attributes:
        name: of the sequence, unique within its data set.
        dataset: name of the data set.
        root: folder of the data set.
        folders: where the frames may lie; the first place is the official one, copies may have another.
        annotation: file of boxes, one a frame from `first` on.
        first: number of the first annotated frame.
        last: number of the last one; None where the frames simply go on to the end.
        digits: frame numbers are padded with zeros to this length.
        suffixes: endings of the frames' names, the official one first.
        omitted: annotated frames before the first one that is evaluated.
        first_only: whether the annotation has only the first box.
        marks_absence: whether NaN or empty boxes after the first are the way to say that the target is absent.
        polygons: whether the annotation may have polygons.
        absence: files with a number a frame, not 0 where the target is invisible.
        cover: a file with a number a frame, 0 where the target is invisible.
        object_class: what the target is, if known.
        attributes: short names of the challenges in the sequence, if known.
    """

    name: str
    dataset: str
    root: Path
    folders: tuple[Path, ...]
    annotation: Path
    first: int = 1
    last: int | None = None
    digits: int = 8
    suffixes: tuple[str, ...] = ("jpg",)
    omitted: int = 0
    first_only: bool = False
    marks_absence: bool = False
    polygons: bool = False
    absence: tuple[Path, ...] = ()
    cover: Path | None = None
    object_class: str | None = None
    attributes: tuple[str, ...] | None = None

    def frame_name(self, number: int, suffix: str | None = None) -> str:
        """The name of a frame's file."""
        return f"{number:0{self.digits}d}.{suffix or self.suffixes[0]}"

    def locate_frames(self) -> tuple[Path, str]:
        """Folder and suffix of the frames on disk. Raises `UserError` where the first one is in no known place."""
        for folder in self.folders:
            for suffix in self.suffixes:
                if (folder / self.frame_name(self.first, suffix)).is_file():
                    return folder, suffix
        raise UserError(
            f"{self.folders[0] / self.frame_name(self.first)}: no such frame; is {self.root} the folder of "
            f"{TITLES.get(self.dataset, self.dataset)}? `python -m pytracking check {self.dataset}` tells what is there"
        )


TITLES = {
    "otb": "OTB-100",
    "nfs": "NFS (30 frames a second)",
    "uav": "UAV123",
    "lasot": "LaSOT",
    "lasot_extension_subset": "LaSOT's extension subset",
    "trackingnet": "TrackingNet",
    "got10k_test": "GOT-10k",
    "got10k_val": "GOT-10k",
}


def readers(files: dict[str, SequenceFiles]) -> dict[str, Callable[[], Sequence]]:
    """What a data set's `list_sequences` answers, from where its files are."""
    return {name: partial(read_sequence, entry) for name, entry in files.items()}


def read_sequence(files: SequenceFiles) -> Sequence:
    """Read the annotation of a sequence and list its frames, without opening them.

    Raises:
        UserError: the first frame, the annotation or a file of absence is not there or cannot be read, or their
            lengths are not the number of frames.
    """
    folder, suffix = files.locate_frames()
    last = files.last if files.last is not None else files.first + _count_frames(files, folder, suffix) - 1
    boxes, polygons = read_annotation(files)
    visible = read_visibility(files, boxes)
    return checked_sequence(
        name=files.name,
        frames=[folder / files.frame_name(n, suffix) for n in range(files.first + files.omitted, last + 1)],
        dataset=files.dataset,
        ground_truth_rect=boxes[files.omitted :],
        annotation_path=files.annotation,
        target_visible=None if visible is None else visible[files.omitted :],
        object_class=files.object_class,
        attributes=files.attributes,
        polygons=None if polygons is None else polygons[files.omitted :],
    )


def read_annotation(files: SequenceFiles) -> tuple[np.ndarray, np.ndarray | None]:
    """Boxes [N, 4] of the annotation file and, where it has any, polygons [N, 4, 2]. Raises `UserError`."""
    if files.polygons:
        boxes, polygons = read_polygons(files.annotation)
    else:
        boxes, polygons = read_boxes(files.annotation), None
    return (boxes[:1], None if polygons is None else polygons[:1]) if files.first_only else (boxes, polygons)


def read_visibility(files: SequenceFiles, boxes: np.ndarray) -> np.ndarray | None:
    """[N] bool from the files of absence, or None without any. Raises `UserError` for another length than `boxes`'."""
    if not files.absence and files.cover is None:
        shown = np.isfinite(boxes).all(axis=1)
        # A VOT annotation says itself where the target is absent.
        return shown if files.polygons and not shown.all() else None
    visible = np.ones(len(boxes), bool)
    for path in (*files.absence, *([files.cover] if files.cover else [])):
        flags = read_flags(path)
        if len(flags) != len(boxes):
            raise UserError(f"{path}: {len(flags)} values for {len(boxes)} boxes in {files.annotation}")
        visible &= (flags > 0) if path == files.cover else (flags == 0)
    return visible


def checked_sequence(**fields: Any) -> Sequence:
    """A sequence whose annotation has one box a frame, or the first box only. Raises `UserError` otherwise."""
    boxes, frames = len(fields["ground_truth_rect"]), len(fields["frames"])
    if boxes not in (1, frames) or not frames:
        where = f" in {fields['frames'][0].parent}" if frames else ""
        raise UserError(f"{fields['annotation_path']}: {boxes} boxes for {frames} frames{where}")
    return Sequence(**fields)


def load_list(file: str) -> Any:
    """A list of sequences that comes with the package."""
    return json.loads((_LISTS / file).read_text(encoding="utf-8"))


@cache
def load_attributes(file: str) -> dict[str, tuple[str, ...]]:
    """Sequence -> short names of its attributes, from a file that comes with the package."""
    return {name: tuple(attributes) for name, attributes in load_list(file)["sequences"].items()}


def listed_files(
    dataset: str,
    root: Path,
    entries: list[dict[str, Any]],
    attributes: Callable[[dict[str, Any]], tuple[str, ...] | None],
    also_in: str | None = None,
    **fields: Any,
) -> dict[str, SequenceFiles]:
    """The files of a data set whose list has frame ranges, zero padding and annotation files (README.txt there).

    Args:
        dataset: its name.
        root: its folder.
        entries: the list.
        attributes: what is known of an entry's attributes.
        also_in: another name that the folder of the frames may have.
        fields: further fields of every `SequenceFiles`.
    """
    return {
        entry["name"]: SequenceFiles(
            name=entry["name"],
            dataset=dataset,
            root=root,
            folders=(root / entry["path"], *([(root / entry["path"]).parent / also_in] if also_in else [])),
            annotation=root / entry["anno_path"],
            first=entry["startFrame"],
            last=entry["endFrame"],
            digits=entry["nz"],
            suffixes=tuple(dict.fromkeys((entry["ext"], "jpg", "png"))),
            omitted=entry.get("initOmit", 0),
            object_class=entry["object_class"],
            attributes=attributes(entry),
            **fields,
        )
        for entry in entries
    }


def _count_frames(files: SequenceFiles, folder: Path, suffix: str) -> int:
    return sum(file.suffix == f".{suffix}" and file.stem.isdigit() for file in folder.iterdir())
