"""Sequences from annotations alone, to score raw results where the videos are not on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ltr.admin.inputs import check_name, number_array, read_object
from ltr.dataset.boxfile import read_boxes, read_flags
from ltr.dataset.layout import load_attributes
from ltr.errors import UserError, unknown_name
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.foreign import match_name, official_names

_ATTRIBUTES = {"otb": "otb_attributes.json", "uav": "uav123_attributes.json", "lasot": "lasot_attributes.json"}


def find_sequences(dataset: str, path: Path | None = None, names: list[str] | None = None) -> list[Sequence]:
    """The sequences of a data set, or from annotations alone where `path` is a file or a folder of `<sequence>.txt`.

    Raises:
        UserError: as `get_dataset` and `read_annotations`; an unknown name names the nearest.
    """
    # In these two layouts a folder of videos has text files in it, too.
    videos = path is None or (path.is_dir() and (dataset in ("folder", "vot") or not any(path.glob("*.txt"))))
    if path is None or videos:
        return get_dataset(dataset, path=path, sequences=names)
    known = {sequence.name: sequence for sequence in read_annotations(path, dataset)}
    for name in names or ():
        if name not in known:
            raise unknown_name(f"sequence of {path}", name, known)
    return [known[name] for name in (names or known)]


def read_annotations(path: Path, dataset: str) -> list[Sequence]:
    """The sequences of pysot's JSON, or of a folder of `<sequence>.txt` with `absent/<sequence>.txt` (1 = absent).

    Their frames are names only: a protocol that clips boxes to the image does without.

    Args:
        path: the JSON file (`gt_rect` of every sequence; `absent`, where it has that, is 1 in frames that count), or
            the folder, as LaSOT's toolkit has it.
        dataset: name of the data set; decides names, attributes and how a protocol treats absent frames.

    Raises:
        UserError: nothing of the kind, a file that cannot be read, or a name that the data set does not have.
    """
    boxes = _read_folder(path) if path.is_dir() else _read_json(path)
    official = official_names(dataset)
    attributes = load_attributes(_ATTRIBUTES[dataset]) if dataset in _ATTRIBUTES else {}
    sequences = []
    for given, (annotated, visible) in boxes.items():
        name = given if official is None else match_name(given, official)
        if name is None:
            raise UserError(f"{path}: '{given}' is not a sequence of {dataset}")
        if visible is not None and len(visible) != len(annotated):
            raise UserError(f"{path}: '{given}' has {len(annotated)} boxes and {len(visible)} values of absence")
        frames = [Path(name, f"{number:08d}.jpg") for number in range(1, len(annotated) + 1)]
        sequences.append(Sequence(name, frames, dataset, annotated, path, visible, attributes=attributes.get(name)))
    order = {name: number for number, name in enumerate(official or [])}
    return sorted(sequences, key=lambda sequence: order.get(sequence.name, 0))


def _read_folder(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    files = sorted(path.glob("*.txt"))
    if not files:
        raise UserError(f"{path}: no <sequence>.txt in it")
    found = {}
    for file in files:
        absent = path / "absent" / file.name
        found[file.stem] = (read_boxes(file), read_flags(absent) == 0 if absent.is_file() else None)
    return found


def _read_json(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    content = read_object(path)
    if not content:
        raise UserError(f"{path}: expected an object of sequences")
    found = {}
    for name, entry in content.items():
        entry = entry if isinstance(entry, dict) else {}
        annotated = _numbers(entry.get("gt_rect"))
        absent = _numbers(entry["absent"]) if "absent" in entry else None
        if absent is not None and (absent.ndim != 1 or not np.isin(absent, (0, 1)).all()):
            raise UserError(f"{path}: 'absent' of sequence '{name}' is not a list of 0 and 1, one a frame")
        if annotated.ndim != 2 or annotated.shape[1] != 4 or not len(annotated):
            raise UserError(f"{path}: sequence '{name}' has no boxes of 4 numbers under 'gt_rect'")
        if np.isinf(annotated).any():
            raise UserError(f"{path}: sequence '{name}' has a number under 'gt_rect' that is too large")
        found[check_name("sequence", name)] = (annotated, None if absent is None else absent == 1)
    return found


def _numbers(value: object) -> np.ndarray:
    """Numbers or NaN as float64; of no size and no axis where `value` is something else."""
    try:
        return number_array(value, finite=False)
    except ValueError:
        return np.array(np.nan)
