"""Any folder of sequences: `<root>/[<group>/]<sequence>/img/*.jpg` with `groundtruth_rect.txt` beside `img`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pytracking.errors import UserError
from pytracking.evaluation.boxfile import read_boxes
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root

ANNOTATION = "groundtruth_rect.txt"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The sequences under a folder, in alphabetical order, named '<sequence>' or '<group>_<sequence>'."""
    root = dataset_root("folder", path)
    annotations = sorted([*root.glob(f"*/{ANNOTATION}"), *root.glob(f"*/*/{ANNOTATION}")])
    if not annotations:
        raise UserError(f"{root}: no sequences; expected [<group>/]<sequence>/img/*.jpg and {ANNOTATION} beside img")
    found: dict[str, Callable[[], Sequence]] = {}
    for annotation in annotations:
        name = "_".join(annotation.parent.relative_to(root).parts)
        if name in found:
            raise UserError(f"{root}: two sequences are named '{name}'; rename one of the folders")
        found[name] = partial(_read, name, annotation)
    return found


def list_frames(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by the numbers in their names. Raises `UserError` where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of frames")
    frames = [file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")]
    if not frames:
        raise UserError(f"{folder}: no frames ({', '.join(sorted(_SUFFIXES))})")
    return sorted(frames, key=lambda file: [int(part) if part.isdigit() else part for part in _parts(file.stem)])


def checked_sequence(**fields: Any) -> Sequence:
    """A sequence whose annotation has one box a frame, or the first box only. Raises `UserError` otherwise."""
    boxes, frames = len(fields["ground_truth_rect"]), len(fields["frames"])
    if boxes not in (1, frames):
        folder = fields["frames"][0].parent
        raise UserError(f"{fields['annotation_path']}: {boxes} boxes for {frames} frames in {folder}")
    return Sequence(**fields)


def _parts(stem: str) -> list[str]:
    # Text and numbers alternate, starting with text (which may be empty), so that the keys can be compared.
    return re.split(r"(\d+)", stem)


def _read(name: str, annotation: Path) -> Sequence:
    boxes = read_boxes(annotation)
    return checked_sequence(
        name=name,
        frames=list_frames(annotation.parent / "img"),
        dataset="folder",
        ground_truth_rect=boxes,
        annotation_path=annotation,
        target_visible=np.isfinite(boxes).all(axis=1),
    )
