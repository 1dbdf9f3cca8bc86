"""TrackingNet's test set: `TEST/frames/<sequence>/0.jpg`, `TEST/anno/<sequence>.txt` (the first box only)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, readers


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 511 sequences, in alphabetical order, as far as they are on disk."""
    return readers(list_files(path))


def list_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files are of the sequences that have an annotation or a folder of frames."""
    root = dataset_root("trackingnet", path)
    test = root if (root / "anno").is_dir() else root / "TEST"
    names = {file.stem for file in test.glob("anno/*.txt")} | {
        folder.name for folder in test.glob("frames/*") if folder.is_dir()
    }
    if not (visible := sorted(name for name in names if not name.startswith("."))):
        raise UserError(f"{root}: no sequences; expected TEST/frames/<sequence>/0.jpg and TEST/anno/<sequence>.txt")
    return {
        name: SequenceFiles(
            name=name,
            dataset="trackingnet",
            root=root,
            folders=(test / "frames" / name,),
            annotation=test / "anno" / f"{name}.txt",
            first=0,
            digits=1,
            first_only=True,
        )
        for name in visible
    }
