"""GOT-10k: `test|val/<sequence>/00000001.jpg`, `groundtruth.txt` (test: the first box only), `absence.label`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import SequenceFiles, readers

_SEQUENCES = 180


def list_test_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 180 test sequences, of which only the first box is public."""
    return readers(list_test_files(path))


def list_val_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The 180 validation sequences; the target is visible where it is not absent and its cover is above 0."""
    return readers(list_val_files(path))


def list_test_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the test sequences are."""
    return _list("test", path)


def list_val_files(path: Path | None = None) -> dict[str, SequenceFiles]:
    """Where the files of the validation sequences are."""
    return _list("val", path)


def _list(split: str, path: Path | None) -> dict[str, SequenceFiles]:
    root = dataset_root("got10k", path)
    # PyTracking's users often point at one of the splits.
    for folder in (root / split, root.parent / split, root):
        if folder.is_dir() and (folder.name == split or any(folder.glob(f"GOT-10k_{split.title()}_*"))):
            names = [f"GOT-10k_{split.title()}_{number:06d}" for number in range(1, _SEQUENCES + 1)]
            return {name: _files(split, root, folder / name) for name in names}
    raise UserError(f"{root}: no folder '{split}' of GOT-10k in it")


def _files(split: str, root: Path, folder: Path) -> SequenceFiles:
    labelled = split == "val"
    return SequenceFiles(
        name=folder.name,
        dataset=f"got10k_{split}",
        root=root,
        folders=(folder,),
        annotation=folder / "groundtruth.txt",
        first_only=not labelled,
        marks_absence=True,
        absence=(folder / "absence.label",) if labelled else (),
        cover=folder / "cover.label" if labelled else None,
    )
