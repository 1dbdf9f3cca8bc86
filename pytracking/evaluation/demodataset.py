"""The demo clips that come with the package: five hand-annotated targets in four real videos."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ltr.dataset.boxfile import read_boxes
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.folderdataset import list_frames
from pytracking.evaluation.layout import checked_sequence

_ROOT = Path(__file__).parents[1] / "demo_data"


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The demo sequences; `path` replaces the folder that comes with the package."""
    root = path or _ROOT
    entries = json.loads((root / "sequences.json").read_text(encoding="utf-8"))
    return {entry["name"]: partial(_read, root, entry) for entry in entries}


def _read(root: Path, entry: dict[str, str]) -> Sequence:
    annotation = root / entry["name"] / "groundtruth_rect.txt"
    boxes = read_boxes(annotation)
    return checked_sequence(
        name=entry["name"],
        frames=list_frames(root / entry["frames"]),
        dataset="demo",
        ground_truth_rect=boxes,
        annotation_path=annotation,
        target_visible=np.isfinite(boxes).all(axis=1),
        object_class=entry["object_class"],
    )
