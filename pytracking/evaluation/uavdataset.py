"""UAV123: `data_seq/UAV123/<video>/000001.jpg`, `anno/UAV123/<sequence>.txt` (NaN where the target is absent)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, listed_files, load_attributes, load_list, readers


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 123 sequences, named 'uav_<sequence>'; several may be ranges of one video."""
    return readers(list_files(path))


def list_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the 123 sequences are."""
    attributes = load_attributes("uav123_attributes.json")
    return listed_files(
        "uav",
        dataset_root("uav", path),
        load_list("uav123.json"),
        lambda entry: attributes.get(entry["name"].removeprefix("uav_")),
        marks_absence=True,
    )
