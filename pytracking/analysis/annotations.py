"""Sequences from annotations alone, to score raw results where the videos are not on disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.inputs import check_name, number_array, read_object
from ltr.dataset.boxfile import read_boxes, read_flags
from ltr.dataset.layout import load_attributes
from ltr.errors import AnnotationError, UserError, unknown_name
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import Reading, read_dataset, unreadable_text
from pytracking.evaluation.foreign import match_name, official_names

# Boxes [T, 4], and [T] where the target is visible, None where nothing is known.
_Annotated = tuple[np.ndarray, "np.ndarray | None"]
_ATTRIBUTES = {"otb": "otb_attributes.json", "uav": "uav123_attributes.json", "lasot": "lasot_attributes.json"}


def find_sequences(
    dataset: str, path: Path | None = None, names: list[str] | None = None, skip_missing: bool = False
) -> Reading:
    """The sequences of a data set, or from annotations alone: pysot's JSON, or a folder of `<sequence>.txt`.

    Args:
        dataset: name of the data set; decides names, attributes and how a protocol treats absent frames.
        path: folder of the data set; or a JSON file with `gt_rect` of every sequence and perhaps `absent`, 1 in frames
            that count; or a folder of `<sequence>.txt` and perhaps `absent/<sequence>.txt`, 1 in frames that do not, as
            LaSOT's toolkit has it. Frames are then names only: a protocol that clips boxes to the image does without.
        names: names of the sequences to read; all when left out.
        skip_missing: leave out sequences of the data set that are not on disk.

    Returns:
        What was read; a sequence that cannot be read is named, and the others can be used.

    Raises:
        UserError: as `read_dataset`; nothing of the kind at `path`, no sequence that can be read, or an unknown name
            (the nearest is named).
    """
    # In these two layouts a folder of videos has text files in it, too.
    videos = path is None or (path.is_dir() and (dataset in ("folder", "vot") or not any(path.glob("*.txt"))))
    if path is None or videos:
        return read_dataset(dataset, path=path, sequences=names, skip_missing=skip_missing)
    reading = _read(path, dataset)
    known = {sequence.name: sequence for sequence in reading.sequences}
    chosen = names or [*known, *reading.unreadable]
    for name in chosen:
        if name not in known and name not in reading.unreadable:
            raise unknown_name(f"sequence of {path}", name, [*known, *reading.unreadable])
    unreadable = {name: message for name, message in reading.unreadable.items() if name in chosen}
    found = [known[name] for name in chosen if name in known]
    if not found:
        raise AnnotationError(unreadable_text(unreadable))
    return Reading(found, unreadable)


def _read(path: Path, dataset: str) -> Reading:
    """What annotations alone give."""
    # It names the folder of the plots, too.
    check_name("data set", dataset)
    # Name of a sequence -> what reads its boxes and where it is visible.
    if path.is_dir():
        entries = {file.stem: partial(_read_file, file) for file in sorted(path.glob("*.txt"))}
    elif content := read_object(path):
        entries = {name: partial(_read_entry, path, name, entry) for name, entry in content.items()}
    else:
        raise UserError(f"{path}: expected an object of sequences")
    official = official_names(dataset)
    attributes = load_attributes(_ATTRIBUTES[dataset]) if dataset in _ATTRIBUTES else {}
    reading = Reading()
    for given, read in entries.items():
        try:
            annotated, visible = read()
            name = given if official is None else match_name(given, official)
            if name is None:
                raise UserError(f"{path}: '{given}' is not a sequence of {dataset}")
            if visible is not None and len(visible) != len(annotated):
                raise UserError(f"{path}: '{given}' has {len(annotated)} boxes and {len(visible)} values of absence")
        except UserError as error:
            reading.unreadable[given] = str(error)
            continue
        frames = [Path(name, f"{number:08d}.jpg") for number in range(1, len(annotated) + 1)]
        known = attributes.get(name)
        reading.sequences.append(Sequence(name, frames, dataset, annotated, path, visible, attributes=known))
    order = {name: number for number, name in enumerate(official or [])}
    reading.sequences.sort(key=lambda sequence: order.get(sequence.name, 0))
    return reading


def _read_file(file: Path) -> _Annotated:
    absent = file.parent / "absent" / file.name
    return read_boxes(file), read_flags(absent) == 0 if absent.is_file() else None


def _read_entry(path: Path, name: str, entry: Any) -> _Annotated:
    check_name("sequence", name)
    entry = entry if isinstance(entry, dict) else {}
    annotated = _numbers(entry.get("gt_rect"))
    absent = _numbers(entry["absent"]) if "absent" in entry else None
    if absent is not None and (absent.ndim != 1 or not np.isin(absent, (0, 1)).all()):
        raise UserError(f"{path}: 'absent' of sequence '{name}' is not a list of 0 and 1, one a frame")
    if annotated.ndim != 2 or annotated.shape[1] != 4 or not len(annotated):
        raise UserError(f"{path}: sequence '{name}' has no boxes of 4 numbers under 'gt_rect'")
    if np.isinf(annotated).any():
        raise UserError(f"{path}: sequence '{name}' has a number under 'gt_rect' that is too large")
    return annotated, None if absent is None else absent == 1


def _numbers(value: object) -> np.ndarray:
    """Numbers or NaN as float64; of no size and no axis where `value` is something else."""
    try:
        return number_array(value, finite=False)
    except ValueError:
        return np.array(np.nan)
