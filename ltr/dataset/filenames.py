"""Names of a data set's files: which frames are there, what is there under another name, and renaming it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ltr.dataset.layout import SequenceFiles, is_number
from ltr.errors import UserError

Rename = tuple[Path, Path]

_LAST_NUMBER = re.compile(r"([0-9]{1,18})$")
_SAME_FORMAT = {"jpeg": "jpg", "jpe": "jpg"}
_MOST_PARTS = 6
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class Finding:
    """Something noticed about a sequence, an image or a folder.

    Attributes:
        kind: 'missing', 'misnamed', 'short', 'long', 'off by one', 'unreadable', 'wrong box', 'wrong count',
            'wrong flag', 'out of image', 'wrong size', 'size change' or 'note'.
        text: what, and where.
        renames: renames that would repair it, in their order.
    """

    kind: str
    text: str
    renames: tuple[Rename, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether the sequence is used rightly all the same."""
        return self.kind in ("note", "size change")


class Surroundings(NamedTuple):
    """The places of all files of a data set, never renamed, and by folder the first and last number of its frames."""

    official: Collection[Path]
    spans: Mapping[Path, tuple[int, int]]


def surroundings_of(listed: Iterable[SequenceFiles]) -> Surroundings:
    """The surroundings of every sequence of a data set."""
    official: set[Path] = set()
    spans: dict[Path, tuple[int, int]] = {}
    for files in listed:
        for path in (files.annotation, *files.folders, *(flag.path for flag in files.flags)):
            official |= {path, *path.parents}
        if files.last is not None:
            for folder in files.folders:
                first, last = spans.get(folder, (files.first, files.last))
                spans[folder] = (min(first, files.first), max(last, files.last))
    return Surroundings(official, spans)


def absent(path: Path, what: str, official: Collection[Path] = ()) -> Finding:
    """The finding for a file or folder that is not there, or is there under another name.

    Two names are the same but for writing when they agree in letters (of either case) and digits.

    Args:
        path: missing file or folder.
        what: word for it.
        official: places that the data set's other files have a right to; never renamed.
    """
    lost = path
    while not lost.parent.exists() and lost.parent != lost:
        lost = lost.parent
    there = {entry.name: entry for entry in lost.parent.iterdir()} if lost.parent.is_dir() else {}
    alike = [entry for name, entry in there.items() if _plain(name) == _plain(lost.name) and not name.startswith(".")]
    renames = tuple((entry, lost) for entry in alike if entry not in official)
    if len(renames) == 1:
        return Finding("misnamed", f"{renames[0][0]} should be {lost.name}", renames)
    similar = difflib.get_close_matches(lost.name, sorted(there), n=3, cutoff=0.75)
    text = f"{lost}: no such {what if lost == path else 'folder'}"
    return Finding("missing", text + (f"; there is {', '.join(similar)}" if similar else ""))


def number_text(numbers: list[int]) -> str:
    """'1, 4-6' for [1, 4, 5, 6]; at most six parts."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    texts = ["-".join(map(str, part)) for part in parts]
    more = f" and {len(texts) - _MOST_PARTS} more such" if len(texts) > _MOST_PARTS else ""
    return ", ".join(texts[:_MOST_PARTS]) + more


def find_frames(
    files: SequenceFiles, folder: Path, rows: int | None, spans: Mapping[Path, tuple[int, int]]
) -> tuple[list[Finding], dict[int, Path]]:
    """Which official frames are in a folder, and why others are not.

    Args:
        files: places of the sequence's files; its frames are numbered.
        folder: the folder of frames that is there.
        rows: number of annotated frames; None where it is not known.
        spans: as `Surroundings.spans`.

    Returns:
        findings: faults that were found.
        frames: number of the frame, counted from 0 at `files.first`, and its file; those that are there.
    """
    images = {
        file: number
        for file in sorted(folder.iterdir())
        if _image_suffix(file) in files.suffixes
        and not file.name.startswith(".")
        and (number := _frame_number(file)) is not None
    }
    if not images:
        return [Finding("missing", f"{folder}: no frames such as {files.frame_name(files.first)}")], {}
    last = files.last or (files.first + rows - 1 if rows else max(files.first, *images.values()))
    suffix = max(files.suffixes, key=lambda one: sum(_image_suffix(file) == one for file in images))
    # A wild number in the name of one file would announce more frames than a disk can hold.
    last = min(last, files.first + _MOST_FRAMES)
    paths = {number: folder / files.frame_name(number, suffix) for number in range(files.first, last + 1)}
    missing = [number for number, path in paths.items() if path not in images]
    span = spans.get(folder, (files.first, last)) if files.last or rows else None
    findings = _explain(files, folder, images, missing, span, suffix) if missing else []
    # Only where the annotation alone says how long the sequence is can there be a frame too many.
    if rows and files.last is None and not missing and max(images.values()) > last:
        findings += compare_length(files, rows, max(images.values()) - files.first + 1)
    return findings, {number - files.first: path for number, path in paths.items() if path in images}


def compare_length(files: SequenceFiles, rows: int, frames: int) -> list[Finding]:
    """The finding about another number of boxes than frames; empty where they agree."""
    if rows == frames:
        return []
    text = f"{files.annotation}: {rows} boxes for {frames} frames"
    if files.last is not None:
        text += f" ({files.first} to {files.last})"
        if files.first > 1 and rows == files.last:
            text += f"; it seems to start at frame 1 rather than {files.first}"
    kind = "short" if rows < frames else "long"
    return [Finding("off by one" if abs(rows - frames) == 1 else kind, text)]


def apply_renames(renames: Iterable[Rename]) -> None:
    """Rename files in the order given, all or none: where one fails, or on Ctrl-C, the earlier ones are undone.

    Raises:
        UserError: a target exists, or a source has gone.
        OSError: the system refuses, as where the permission is missing.
    """
    # Frames of which half are renumbered would look like a copy with a frame missing.
    with ExitStack() as undo:
        for source, target in renames:
            if os.path.lexists(target) and not (source.exists() and source.samefile(target)):
                raise UserError(f"{target}: exists, so that {source.name} is not renamed to it")
            if not os.path.lexists(source):
                raise UserError(f"{source}: has gone; is another program at work in this folder?")
            source.rename(target)
            undo.callback(target.rename, source)
        undo.pop_all()


def _explain(
    files: SequenceFiles,
    folder: Path,
    images: dict[Path, int],
    missing: list[int],
    span: tuple[int, int] | None,
    suffix: str,
) -> list[Finding]:
    """Why frames are missing: written differently, numbered from elsewhere, cut short, or simply lost."""
    findings = []
    # 'mask_0003.jpg' among bare numbers is something else; 'img0003.jpg' among its like is a frame.
    bare = any(is_number(file.stem) for file in images)
    alike: dict[int, list[Path]] = {}
    for file, number in images.items():
        if _image_suffix(file) == suffix and (is_number(file.stem) or not bare):
            alike.setdefault(number, []).append(file)
    renames = tuple(
        (alike[number][0], folder / files.frame_name(number, suffix))
        for number in missing
        if len(alike.get(number, ())) == 1
    )
    if renames:
        (source, target), rest = renames[0], len(renames) - 1
        others = f", and {rest} more" if rest else ""
        findings.append(Finding("misnamed", f"{source} should be {target.name}{others}", renames))
        renamed = {_frame_number(target) for _, target in renames}
        missing = [number for number in missing if number not in renamed]
    elif shifted := _shifted(files, folder, images, span, suffix):
        return [shifted]
    if not missing:
        return findings
    several = len(missing) > 1
    names = f"{folder}: frame{'s' if several else ''} {number_text(missing)}"
    kind, text = "missing", f"{names} {'are' if several else 'is'} missing"
    there = set(images.values()) - set(missing)
    if files.first in missing and not span and not several:
        kind, text = "off by one", f"{names}: either it is lost, or all are numbered one too high"
    elif there and min(missing) > max(there):
        kind, text = "short", f"{text}, the last of the sequence"
        if not several and files.last is None:
            kind, text = "off by one", f"{text}; {files.annotation} has a box for it"
    return [*findings, Finding(kind, text)]


def _shifted(
    files: SequenceFiles, folder: Path, images: dict[Path, int], span: tuple[int, int] | None, suffix: str
) -> Finding | None:
    """The finding where all frames are there, without a gap, but counted from another number."""
    numbers = sorted(images.values())
    if span is None or numbers[0] == span[0]:
        return None
    if len(numbers) != span[1] - span[0] + 1 or numbers[-1] - numbers[0] != len(numbers) - 1:
        return None
    shift = span[0] - numbers[0]
    ordered = sorted(images.items(), key=lambda item: item[1], reverse=shift > 0)
    renames = tuple((file, folder / files.frame_name(number + shift, suffix)) for file, number in ordered)
    text = f"{folder}: the frames are numbered from {numbers[0]} to {numbers[-1]}, not from {span[0]} to {span[1]}"
    return Finding("off by one" if abs(shift) == 1 else "misnamed", text, renames)


def _frame_number(file: Path) -> int | None:
    """The number that a frame's name ends with, or None."""
    return int(found.group()) if (found := _LAST_NUMBER.search(file.stem)) else None


def _image_suffix(file: Path) -> str:
    """'jpg' for 'a.JPEG' and 'a.jpg': the usual name of the file's format."""
    suffix = file.suffix.lower().removeprefix(".")
    return _SAME_FORMAT.get(suffix, suffix)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
