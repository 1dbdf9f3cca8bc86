"""Need for Speed at 30 frames a second: `sequences/<Sequence>/00001.jpg`, `anno/nfs_<Sequence>.txt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, listed_files, load_list, readers


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 100 sequences, named 'nfs_<Sequence>'."""
    return readers(list_files(path))


def list_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the 100 sequences are; of the attributes only occlusion ('OCC') is known."""
    return listed_files(
        "nfs",
        dataset_root("nfs", path),
        load_list("nfs30.json"),
        lambda entry: ("OCC",) if entry["occlusion"] else (),
    )
