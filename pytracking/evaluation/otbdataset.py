"""OTB-100 in its official layout: `<Sequence>/img/0001.jpg`, `groundtruth_rect.txt` (1-based boxes)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pytracking.errors import UserError
from pytracking.evaluation.boxfile import read_boxes
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.folderdataset import checked_sequence

_LIST = Path(__file__).parent / "sequence_lists" / "otb100.json"


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 100 sequences (98 folders: Jogging and Skating2 have two targets) with their official frame ranges."""
    root = dataset_root("otb", path)
    entries = json.loads(_LIST.read_text(encoding="utf-8"))
    return {entry["name"]: partial(_read, root, entry) for entry in entries}


def _read(root: Path, entry: dict[str, Any]) -> Sequence:
    # The evaluated part of a sequence starts `initOmit` frames after the annotation does.
    omitted = entry.get("initOmit", 0)
    annotation = root / entry["anno_path"]
    folder, suffix = _frames_of(root, entry)
    numbers = range(entry["startFrame"] + omitted, entry["endFrame"] + 1)
    return checked_sequence(
        name=entry["name"],
        frames=[folder / f"{number:0{entry['nz']}d}.{suffix}" for number in numbers],
        dataset="otb",
        ground_truth_rect=read_boxes(annotation)[omitted:],
        annotation_path=annotation,
        object_class=entry["object_class"],
    )


def _frames_of(root: Path, entry: dict[str, Any]) -> tuple[Path, str]:
    """Folder and suffix of the frames; copies of the data set differ for KiteSurf, so the usual names are tried."""
    listed = root / entry["path"]
    first = f"{entry['startFrame']:0{entry['nz']}d}"
    for folder in (listed, listed.parent / "img"):
        for suffix in (entry["ext"], "jpg", "png"):
            if (folder / f"{first}.{suffix}").is_file():
                return folder, suffix
    raise UserError(f"{listed / first}.{entry['ext']}: no such frame; is {root} the folder of OTB-100?")
