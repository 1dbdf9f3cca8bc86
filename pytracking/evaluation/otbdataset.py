"""OTB-100 in its official layout: `<Sequence>/img/0001.jpg`, `groundtruth_rect.txt` (1-based boxes)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, listed_files, load_attributes, load_list, readers


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 100 sequences (98 folders: Jogging and Skating2 have two targets) with their official frame ranges."""
    return readers(list_files(path))


def list_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the 100 sequences are; copies differ for KiteSurf, so `img` and other suffixes are tried."""
    attributes = load_attributes("otb_attributes.json")
    return listed_files(
        "otb",
        dataset_root("otb", path),
        load_list("otb100.json"),
        lambda entry: attributes.get(entry["name"]),
        also_in="img",
    )
