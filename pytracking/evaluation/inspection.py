"""What is wrong with the files of one sequence in a local copy of a data set."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.data.image import verify_image
from ltr.dataset.filenames import (
    Rename,
    find_misnamed,
    first_missing,
    frame_number,
    image_suffix,
    number_text,
    similar_names,
)
from ltr.errors import UserError
from pytracking.evaluation.layout import SequenceFiles, read_annotation, read_visibility

_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", " ": "spaces"}


@dataclass(frozen=True)
class Finding:
    """Something noticed about a sequence.

    Attributes:
        kind: 'missing', 'misnamed', 'short', 'long', 'unreadable', 'off by one', 'wrong box', or 'note'.
        text: what, and where.
        renames: what would repair it, in the order in which to do it.
    """

    kind: str
    text: str
    renames: tuple[Rename, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether the sequence is evaluated rightly all the same."""
        return self.kind == "note"


@dataclass(frozen=True)
class Surroundings:
    """What the other sequences of the data set have to do with this one.

    Attributes:
        official: the places of all files and folders of the data set; they are never renamed.
        spans: for a folder of frames, the first and last number that its sequences use together.
    """

    official: Collection[Path]
    spans: dict[Path, tuple[int, int]]


def inspect_names(files: SequenceFiles, surroundings: Surroundings) -> tuple[list[Finding], list[Path]]:
    """Everything that can be told without opening a frame: names, numbers, lengths, annotation.

    Returns:
        findings: in the order annotation, absence, frames.
        frames: the sequence's frames that are there.
    """
    findings, rows = _inspect_annotation(files, surroundings.official)
    folder = next((folder for folder in files.folders if folder.is_dir()), None)
    if folder is None:
        absent = _absent(files.folders[0], surroundings.official, "folder of frames")
        return list(dict.fromkeys([*findings, absent])), []
    found, frames = _inspect_frames(files, folder, rows, surroundings.spans)
    return [*findings, *found], frames


def inspect_frames(frames: Iterable[Path], known: dict[Path, str | None]) -> list[Finding]:
    """Decode frames. `known` keeps the outcome, as several sequences may have the same frames."""
    findings = []
    for frame in frames:
        if frame not in known:
            try:
                verify_image(frame)
                known[frame] = None
            except UserError as error:
                known[frame] = str(error)
        if message := known[frame]:
            findings.append(Finding("unreadable", message))
    return findings


def inspect_text(path: Path) -> list[Finding]:
    """Peculiarities of an annotation file that do no harm: line ends of Windows, mixed delimiters."""
    data = path.read_bytes()
    text = data.decode("utf-8", errors="replace")
    found = [f"{path}: line ends of Windows (CRLF)"] if b"\r\n" in data else []
    kinds = {_delimiters(line) for line in text.split("\n") if line.strip()}
    if len(kinds) > 1 or any(" and " in kind for kind in kinds):
        found.append(f"{path}: mixed delimiters ({'; '.join(sorted(kinds))})")
    return [Finding("note", text) for text in found]


def _inspect_annotation(files: SequenceFiles, official: Collection[Path]) -> tuple[list[Finding], int | None]:
    """Findings, and the number of annotated frames where it can be told and is not just the first."""
    wanted = [files.annotation, *files.absence, *([files.cover] if files.cover else [])]
    findings = [_absent(path, official, "annotation") for path in wanted if not path.is_file()]
    if not files.annotation.is_file():
        return findings, None
    try:
        boxes, _ = read_annotation(files)
    except UserError as error:
        return [*findings, Finding("unreadable", str(error))], None
    if not findings:
        try:
            read_visibility(files, boxes)
        except UserError as error:
            findings.append(Finding("unreadable", str(error)))
    findings += [*_inspect_boxes(files, boxes), *inspect_text(files.annotation)]
    if files.first_only:
        return findings, None
    if files.last is not None:
        findings += _compare_length(files, len(boxes), files.last - files.first + 1)
    return findings, len(boxes)


def _inspect_boxes(files: SequenceFiles, boxes: np.ndarray) -> list[Finding]:
    broken = ~np.isfinite(boxes).all(axis=1)
    empty = ~broken & (boxes[:, 2:] <= 0).any(axis=1)
    findings = []
    if broken[files.omitted : files.omitted + 1].any() or empty[files.omitted : files.omitted + 1].any():
        findings.append(Finding("wrong box", f"{files.annotation}: the first box is {boxes[files.omitted].tolist()}"))
    for where, what in ((broken, "not numbers (NaN)"), (empty, "empty")):
        lines = [int(index) + 1 for index in np.flatnonzero(where)]
        if lines and (files.marks_absence or where is empty):
            findings.append(Finding("note", f"{files.annotation}: {len(lines)} boxes are {what}: the target is absent"))
        elif lines:
            text = f"{files.annotation}: boxes are {what} in line {number_text(lines)}"
            findings.append(Finding("wrong box", text))
    return findings


def _compare_length(files: SequenceFiles, rows: int, frames: int) -> list[Finding]:
    if rows == frames:
        return []
    text = f"{files.annotation}: {rows} boxes for {frames} frames"
    if files.last is not None:
        text += f" ({files.first} to {files.last})"
        if files.first > 1 and rows == files.last:
            text += f"; it seems to start at frame 1 rather than {files.first}"
    if abs(rows - frames) == 1:
        return [Finding("off by one", text)]
    return [Finding("short" if rows < frames else "long", text)]


def _inspect_frames(
    files: SequenceFiles, folder: Path, rows: int | None, spans: dict[Path, tuple[int, int]]
) -> tuple[list[Finding], list[Path]]:
    images = {
        file: number
        for file in sorted(folder.iterdir())
        if image_suffix(file) in files.suffixes
        and not file.name.startswith(".")
        and (number := frame_number(file)) is not None
    }
    if not images:
        return [Finding("missing", f"{folder}: no frames such as {files.frame_name(files.first)}")], []
    numbers = set(images.values())
    last = files.last or (files.first + rows - 1 if rows else max(files.first, *numbers))
    wanted = range(files.first, last + 1)
    suffix = max(files.suffixes, key=lambda one: sum(image_suffix(file) == one for file in images))
    paths = {number: folder / files.frame_name(number, suffix) for number in wanted}
    missing = [number for number, path in paths.items() if path not in images]
    frames = [path for path in paths.values() if path in images]
    span = spans.get(folder, (files.first, last)) if files.last or rows else None
    findings = _explain(files, folder, images, missing, span, suffix) if missing else []
    # Only where the annotation alone says how long the sequence is can there be a frame too many.
    if rows and files.last is None and not missing and max(numbers) > last:
        findings += _compare_length(files, rows, max(numbers) - files.first + 1)
    return findings, frames


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
    renames = []
    # 'mask_0003.jpg' among bare numbers is something else; 'img0003.jpg' among its like is a frame.
    bare = any(file.stem.isdigit() for file in images)
    frames = {file: its for file, its in images.items() if image_suffix(file) == suffix}
    for number in missing:
        alike = [file for file, its in frames.items() if its == number and (file.stem.isdigit() or not bare)]
        if len(alike) == 1:
            renames.append((alike[0], folder / files.frame_name(number, suffix)))
    if renames:
        (source, target), rest = renames[0], len(renames) - 1
        others = f", and {rest} more" if rest else ""
        findings.append(Finding("misnamed", f"{source} should be {target.name}{others}", tuple(renames)))
        renamed = {frame_number(target) for _, target in renames}
        missing = [number for number in missing if number not in renamed]
    elif shifted := _shifted(files, folder, images, span, suffix):
        return [shifted]
    if not missing:
        return findings
    names = f"{folder}: frame{'s' if len(missing) > 1 else ''} {number_text(missing)}"
    lost = f"{names} {'are' if len(missing) > 1 else 'is'} missing"
    there = [number for number in images.values() if number not in missing]
    if files.first in missing and not span and len(missing) == 1:
        text = f"{names}: either it is lost, or all are numbered one too high"
        return [*findings, Finding("off by one", text)]
    tail = there and min(missing) > max(there)
    text = f"{lost}, the last of the sequence" if tail else lost
    if tail and len(missing) == 1 and files.last is None:
        return [*findings, Finding("off by one", f"{text}; {files.annotation} has a box for it")]
    return [*findings, Finding("short" if tail else "missing", text)]


def _shifted(
    files: SequenceFiles, folder: Path, images: dict[Path, int], span: tuple[int, int] | None, suffix: str
) -> Finding | None:
    """The finding where all frames are there, without a gap, but counted from another number."""
    numbers = sorted(images.values())
    if span is None or len(numbers) != span[1] - span[0] + 1 or numbers[-1] - numbers[0] != len(numbers) - 1:
        return None
    shift = span[0] - numbers[0]
    if shift == 0:
        return None
    ordered = sorted(images.items(), key=lambda item: item[1], reverse=shift > 0)
    renames = tuple((file, folder / files.frame_name(number + shift, suffix)) for file, number in ordered)
    text = f"{folder}: the frames are numbered from {numbers[0]} to {numbers[-1]}, not from {span[0]} to {span[1]}"
    return Finding("off by one" if abs(shift) == 1 else "misnamed", text, renames)


def _absent(path: Path, official: Collection[Path], what: str) -> Finding:
    if rename := find_misnamed(path, official):
        return Finding("misnamed", f"{rename[0]} should be {rename[1].name}", (rename,))
    similar, lost = similar_names(path), first_missing(path)
    text = f"{lost}: no such {what if lost == path else 'folder'}"
    return Finding("missing", text + (f"; there is {', '.join(similar)}" if similar else ""))


def _delimiters(line: str) -> str:
    inner = line.strip()
    found = [name for character, name in _DELIMITERS.items() if character in inner]
    return " and ".join(name for name in found if name != "spaces" or len(found) == 1)
