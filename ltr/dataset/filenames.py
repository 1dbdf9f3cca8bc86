"""Names of a data set's files: what is there under another name, and numbers in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from pathlib import Path

Rename = tuple[Path, Path]

_LAST_NUMBER = re.compile(r"(\d+)$")
_SAME_FORMAT = {"jpeg": "jpg", "jpe": "jpg"}


def find_misnamed(path: Path, official: Collection[Path]) -> Rename | None:
    """Something that must be `path`, or a folder above it, but is written differently.

    Two names are the same but for writing when they agree in letters (of either case) and digits.

    Args:
        path: what is missing.
        official: places that the data set's other files have a right to; never renamed.

    Returns:
        rename: (what there is, what it should be called), or None where there is nothing, or more than one.
    """
    wanted = first_missing(path)
    if not wanted.parent.is_dir():
        return None
    alike = [
        entry
        for entry in wanted.parent.iterdir()
        if _plain(entry.name) == _plain(wanted.name) and entry not in official and not entry.name.startswith(".")
    ]
    return (alike[0], wanted) if len(alike) == 1 else None


def similar_names(path: Path) -> list[str]:
    """At most three names beside the first missing part of `path` that resemble it."""
    wanted = first_missing(path)
    names = [entry.name for entry in wanted.parent.iterdir()] if wanted.parent.is_dir() else []
    return difflib.get_close_matches(wanted.name, sorted(names), n=3, cutoff=0.75)


def frame_number(file: Path) -> int | None:
    """The number that a frame's name ends with, or None."""
    found = _LAST_NUMBER.search(file.stem)
    return int(found.group()) if found else None


def image_suffix(file: Path) -> str:
    """'jpg' for 'a.JPEG' and 'a.jpg': the usual name of the file's format."""
    suffix = file.suffix.lower().removeprefix(".")
    return _SAME_FORMAT.get(suffix, suffix)


def first_missing(path: Path) -> Path:
    """`path`, or the topmost folder above it that is not there."""
    while not path.parent.exists() and path.parent != path:
        path = path.parent
    return path


def number_text(numbers: list[int]) -> str:
    """'1, 4-6' for [1, 4, 5, 6]; at most six parts."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    texts = ["-".join(map(str, part)) for part in parts]
    return ", ".join(texts[:6]) + (f" and {len(texts) - 6} more such" if len(texts) > 6 else "")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
