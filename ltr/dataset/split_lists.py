"""Which sequences belong to a split: the field's lists, which come with the package, or a list of your own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from ltr.dataset.boxfile import read_names
from ltr.errors import AnnotationError, unknown_name


def read_split(dataset: str, split: str, lists: Mapping[str, str]) -> list[str]:
    """The lines of a split's list.

    Args:
        dataset: for messages.
        split: a key of `lists`, or the path of a text file (`.txt`) with one entry a line.
        lists: split -> file in `ltr/dataset/splits`.

    Raises:
        ValueError: an unknown split; the nearest is named.
        AnnotationError: a list of one's own that is missing or empty.
    """
    if split.endswith(".txt"):
        return read_names(os.path.expanduser(split))
    if split not in lists:
        raise unknown_name(f"split of {dataset}", split, [*lists, "all"])
    text = (resources.files("ltr.dataset") / "splits" / lists[split]).read_text(encoding="utf-8")
    return text.split()


def split_label(split: str) -> str:
    """A word for a split in names: of a file, its stem."""
    return Path(split).stem if split.endswith(".txt") else split


def require(dataset: str, split: str, root: Path, wanted: list[str], found: set[str]) -> None:
    """Refuse a copy that lacks sequences of a split.

    Raises:
        AnnotationError: naming how many are missing, and the first.
    """
    missing = sorted(set(wanted) - found)
    if missing or not wanted:
        first = f", first {missing[0]}" if missing else ""
        raise AnnotationError(
            f"{root} has {len(found)} sequences; split '{split}' of {dataset} lacks {len(missing)}{first}: is the copy "
            f"whole? (python -m ltr check tells more; a text file of names may stand in place of '{split}')"
        )
