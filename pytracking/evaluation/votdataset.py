"""VOT-style folders: `list.txt`, `<sequence>/[color/]00000001.jpg`, `groundtruth.txt` with polygons or boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ltr.dataset.boxfile import read_names
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
    if not (base / "list.txt").exists():
        raise UserError(f"{root / 'list.txt'}: no such file; it names the sequences of a VOT-style folder")
    names = read_names(base / "list.txt")
    if len(set(names)) != len(names):
        raise UserError(f"{base / 'list.txt'}: a sequence is named twice")
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
