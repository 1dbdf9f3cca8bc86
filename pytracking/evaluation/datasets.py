"""Evaluation data sets by name: the sequences that `ltr.dataset` finds on disk, as `Sequence`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ltr.admin.inputs import as_path, read_json
from ltr.admin.paths import dataset_path
from ltr.dataset.check import COUNTS, EVALUATION, Lister
from ltr.dataset.layout import SequenceFiles, locate_frames, no_first_frame, read_annotation
from ltr.errors import AnnotationError, MissingFileError, UserError, check_names, list_some, unknown_name
from pytracking.evaluation.data import Sequence, check_distinct

_DEMO = Path(__file__).parents[1] / "demo_data"


def list_demo(root: Path) -> list[SequenceFiles]:
    """The demo clips that come with the package: five hand-annotated targets in four real videos."""
    return [
        SequenceFiles(
            name=entry["name"],
            dataset="demo",
            root=root,
            folders=(root / entry["frames"],),
            annotation=root / entry["name"] / "groundtruth_rect.txt",
            numbered=False,
            object_class=entry["object_class"],
        )
        for entry in read_json(root / "sequences.json")
    ]


LISTERS: dict[str, Lister] = {**EVALUATION, "demo": list_demo}


@dataclass(frozen=True)
class Reading:
    """What was read of data sets.

    Attributes:
        sequences: those that can be tracked, in the data sets' order.
        unreadable: name -> what is wrong with a sequence that cannot be read.
        skipped: names of sequences that are not on disk and were to be left out.
    """

    sequences: list[Sequence] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def dataset_root(name: str, path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a data set: `path`, else the variable `EBM_TRACKING_<NAME>`, else the user's paths.toml. The demo
    clips come with the package.

    Args:
        name: the data set's name, such as 'otb'.
        path: a folder given on the command line.

    Raises:
        UserError: no folder is known (the message says the ways to give one), or it does not exist.
    """
    if path is None and name == "demo":
        return _DEMO
    if path is None:
        try:
            return dataset_path(name)
        except MissingFileError as error:
            raise type(error)(f"{error}; or pass --dataset_path, or run python -m pytracking setup") from None
    root = as_path(f"--dataset_path of data set '{name}'", path)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (--dataset_path of data set '{name}')")
    return root


def get_dataset(
    *names: str,
    path: str | os.PathLike[str] | None = None,
    sequences: Iterable[str] | None = None,
    skip_missing: bool = False,
) -> list[Sequence]:
    """The sequences of one data set or of several, one after the other.

    Args:
        names: data sets, keys of `LISTERS`: 'demo' comes with the package, 'folder' is any folder of sequences.
        path: the data set's folder, where environment and configuration are not to be asked.
        sequences: names of the sequences to read, or their numbers in the data set (from 0); all when left out.
        skip_missing: leave out sequences that are not on disk.

    Raises:
        UserError: unknown data set or sequence (the nearest is named), empty `sequences`, a folder that is missing or
            unknown, a sequence that is not on disk, an annotation file that cannot be read, or one whose length is not
            the number of frames.

    >>> [sequence.name for sequence in get_dataset("demo")]
    ['ball', 'dog', 'girl', 'juggler', 'mug']
    """
    reading = read_dataset(*names, path=path, sequences=sequences, skip_missing=skip_missing)
    if reading.unreadable:
        raise AnnotationError(unreadable_text(reading.unreadable))
    return reading.sequences


def read_dataset(
    *names: str,
    path: str | os.PathLike[str] | None = None,
    sequences: Iterable[str] | None = None,
    skip_missing: bool = False,
) -> Reading:
    """As `get_dataset`, but a sequence that cannot be read is named instead of raised: the others can be used."""
    if not names:
        raise UserError(f"name a data set: {', '.join(sorted(LISTERS))}")
    found: dict[str, SequenceFiles] = {}
    check_names("data set", names, LISTERS)
    for name in names:
        listed = {files.name: files for files in LISTERS[name](dataset_root(name, path))}
        if shared := found.keys() & listed.keys():
            raise UserError(f"{', '.join(names)} share a sequence name, '{min(shared)}': evaluate them one by one")
        found |= listed
    chosen = list(found) if sequences is None else _chosen(", ".join(names), found, sequences)
    check_distinct(chosen, found)
    # A data set with official names may be a partial copy; what a folder lacks is a fault of its sequence.
    missing = [name for name in chosen if found[name].numbered and not found[name].on_disk()]
    if missing and not skip_missing:
        raise AnnotationError(_missing_text(found, missing))
    reading = Reading(skipped=missing)
    for name in chosen:
        if name not in missing:
            try:
                reading.sequences.append(read_sequence(found[name]))
            except UserError as error:
                reading.unreadable[name] = str(error)
    if missing and not reading.sequences and not reading.unreadable:
        raise AnnotationError(_missing_text(found, missing))
    if not reading.sequences:
        raise AnnotationError(unreadable_text(reading.unreadable))
    return reading


def read_sequence(files: SequenceFiles) -> Sequence:
    """Read the annotation of a sequence and list its frames, without opening them.

    Raises:
        UserError: its name cannot be the name of a result, the first frame, the annotation or a file of flags is not
            there or cannot be read, or their lengths are not the number of frames.
    """
    annotation = read_annotation(files)
    frames, boxes = locate_frames(files), annotation.boxes[files.omitted :]
    if len(boxes) not in (1, len(frames)) or not frames:
        where = f" in {frames[0].parent}" if frames else ""
        raise AnnotationError(f"{files.annotation}: {len(boxes)} boxes for {len(frames)} frames{where}")
    return Sequence(
        name=files.name,
        frames=frames,
        dataset=files.dataset,
        ground_truth_rect=boxes,
        annotation_path=files.annotation,
        target_visible=None if annotation.shown is None else annotation.shown[files.omitted :],
        object_class=files.object_class,
        attributes=files.attributes,
        polygons=None if annotation.polygons is None else annotation.polygons[files.omitted :],
    )


def unreadable_text(unreadable: dict[str, str]) -> str:
    """The first of several messages about sequences, and how many more there are."""
    message, *rest = unreadable.values()
    return message + (
        f" ({len(rest)} more sequences cannot be read: {list_some(list(unreadable)[1:])})" if rest else ""
    )


def describe_dataset(name: str) -> str:
    """'100 sequences', or '3 of 100 sequences' of a partial copy. Raises UserError where the folder is not known."""
    listed = LISTERS[name](dataset_root(name))
    there = sum(files.on_disk() for files in listed)
    total = max(COUNTS.get(name, 0), len(listed))
    return f"{there} sequences" if there == total else f"{there} of {total} sequences"


def _chosen(dataset: str, found: dict[str, SequenceFiles], wanted: Iterable[str]) -> list[str]:
    by_number = {str(number): name for number, name in enumerate(found)}
    chosen = []
    for name in map(str, [wanted] if isinstance(wanted, (str, bytes, int)) else wanted):
        if name not in found and name not in by_number:
            raise unknown_name(f"sequence of {dataset}", name, found)
        chosen.append(name if name in found else by_number[name])
    if not chosen:
        raise UserError(f"no sequence of {dataset} is named; leave `sequences` out for all: {list_some(found)}")
    return chosen


def _missing_text(found: dict[str, SequenceFiles], missing: list[str]) -> str:
    files = found[missing[0]]
    there = len(found) - sum(not one.on_disk() for one in found.values())
    return (
        f"{no_first_frame(files)}. {there} of {len(found)} sequences are there, missing: {list_some(missing)}; "
        "--skip_missing leaves them out"
    )
