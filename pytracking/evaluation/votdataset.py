"""VOT-style folders: `list.txt`, `<sequence>/[color/]00000001.jpg`, `groundtruth.txt` with polygons or boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, readers


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The sequences that list.txt names, in its order. A polygon's box is the smallest upright one around it."""
    return readers(list_files(path))


def list_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files are of the sequences that list.txt names."""
    root = dataset_root("vot", path)
    # The toolkit of VOT2020 and later keeps the sequences one folder deeper.
    base = root if (root / "list.txt").is_file() else root / "sequences"
    try:
        lines = (base / "list.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{root / 'list.txt'}: no such file; it names the sequences of a VOT-style folder") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) != len(names):
        raise UserError(f"{base / 'list.txt'}: {'a sequence is named twice' if names else 'names no sequence'}")
    return {
        name: SequenceFiles(
            name=name,
            dataset="vot",
            root=root,
            folders=(base / name / "color", base / name),
            annotation=base / name / "groundtruth.txt",
            suffixes=("jpg", "png"),
            marks_absence=True,
            polygons=True,
        )
        for name in names
    }
