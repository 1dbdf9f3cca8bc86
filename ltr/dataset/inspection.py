"""What is wrong with the files of one sequence in a local copy of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ltr.admin.inputs import read_bytes
from ltr.data.image import ImageHeader, verify_image
from ltr.data.video import video_notes
from ltr.dataset.boxfile import positive, read_flags
from ltr.dataset.filenames import Finding, Surroundings, absent, compare_length, find_frames, number_text
from ltr.dataset.layout import (
    Annotation,
    SequenceFiles,
    check_sequence_name,
    flag_shows,
    locate_frames,
    read_annotation,
)
from ltr.errors import AnnotationError, UserError

# Annotators draw to the border of the picture and round.
_BORDER = 1.0
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", " ": "spaces"}
_MOST_UNREADABLE = 20
Mapper = Callable[[Callable[[Path], "Opened"], Iterable[Path]], Iterator["Opened"]]


@dataclass(frozen=True)
class Opened:
    """A frame that was opened: its (width, height), its header, or why it could not be read."""

    path: Path
    size: tuple[int, int] = (0, 0)
    error: str = ""
    header: ImageHeader | None = None


def open_frame(path: Path) -> Opened:
    """Decode an image whole."""
    try:
        header = verify_image(path)
    except UserError as error:
        return Opened(path, error=str(error))
    return Opened(path, header.size, header=header)


def inspect_sequence(files: SequenceFiles, surroundings: Surroundings, mapper: Mapper | None) -> list[Finding]:
    """Everything that can be said about a sequence, in the order annotation, flags, frames.

    Args:
        files: places of its files.
        surroundings: facts about the data set that it belongs to.
        mapper: opens frames, such as the `map` of a pool of threads; None opens none.
    """
    try:
        check_sequence_name(files)
    except AnnotationError as error:
        return [Finding("unreadable", str(error))]
    findings, annotation = _inspect_annotation(files, surroundings)
    rows = None if annotation is None or files.first_only else len(annotation.boxes)
    found, frames = _inspect_names(files, surroundings, rows)
    findings = list(dict.fromkeys([*findings, *found]))
    if mapper is not None and frames:
        video = files.folders[0].is_file()
        # A video file is decoded from its start, so that threads would get into each other's way.
        opened = list((map if video else mapper)(open_frame, frames.values()))
        try:
            findings += [Finding(*note) for note in (video_notes(files.folders[0]) if video else [])]
        except UserError as error:
            findings.append(Finding("unreadable", str(error)))
        findings += _inspect_pictures(files, opened, annotation, list(frames))
    hint = f" [{files.hint}]" if files.hint else ""
    return [finding if finding.harmless else replace(finding, text=finding.text + hint) for finding in findings]


def _inspect_annotation(files: SequenceFiles, around: Surroundings) -> tuple[list[Finding], Annotation | None]:
    """Findings about the text files, and what they say where the boxes can be read."""
    wanted = [files.annotation, *(flag.path for flag in files.flags)]
    findings = [absent(path, "annotation", around.official) for path in wanted if not path.exists()]
    if not files.annotation.exists():
        return findings, None
    try:
        boxes = read_annotation(replace(files, flags=())).boxes
    except UserError as error:
        return [*findings, Finding("unreadable", str(error))], None
    shown = np.ones(len(boxes), dtype=bool)
    for flag in files.flags:
        if not flag.path.exists():
            continue
        try:
            values = read_flags(flag.path)
        except AnnotationError as error:
            findings.append(Finding("unreadable", str(error)))
            continue
        if len(values) != len(boxes):
            findings.append(Finding("wrong count", f"{flag.path}: {len(values)} flags for {len(boxes)} boxes"))
        else:
            shown &= flag_shows(flag, values)
        strange = np.flatnonzero((values < 0) | (values > flag.highest))
        if len(strange):
            text = f"{flag.path}: {values[strange[0]]} for frame {strange[0] + 1}; wanted 0 to {flag.highest}"
            findings.append(Finding("wrong flag", text))
    findings += _inspect_boxes(files, boxes, shown)
    if files.masks is None:
        findings += _inspect_text(files.annotation)
    if not files.first_only and files.last is not None:
        findings += compare_length(files, len(boxes), files.last - files.first + 1)
    return findings, Annotation(boxes, shown)


def _inspect_boxes(files: SequenceFiles, boxes: np.ndarray, shown: np.ndarray) -> list[Finding]:
    broken = ~np.isfinite(boxes).all(axis=1)
    empty = ~broken & (boxes[:, 2:] <= 0).any(axis=1)
    findings = []
    if (broken | empty)[files.omitted : files.omitted + 1].any():
        findings.append(Finding("wrong box", f"{files.annotation}: the first box is {boxes[files.omitted].tolist()}"))
    # Own recordings and data sets with absent targets mark them so; where flags do, a NaN in sight is a fault.
    marks = files.marks_absence or not files.numbered
    wrong = broken & shown if files.flags or not marks else np.zeros(len(boxes), bool)
    if wrong.any():
        lines = number_text([int(index) + 1 for index in np.flatnonzero(wrong)])
        findings.append(Finding("wrong box", f"{files.annotation}: boxes are not numbers (NaN) in line {lines}"))
    for where, what in ((broken & ~wrong, "not numbers (NaN)"), (empty, "empty")):
        if where.any():
            text = f"{files.annotation}: {int(where.sum())} boxes are {what}: the target counts as absent there"
            findings.append(Finding("note", text))
    if not files.first_only and (shown & positive(boxes)).sum() < 2:
        findings.append(Finding("note", f"{files.annotation}: fewer than two visible frames: training never draws it"))
    return findings


def _inspect_text(path: Path) -> list[Finding]:
    """Peculiarities of an annotation file that do no harm: line ends of Windows, mixed delimiters."""
    data = read_bytes(path)
    text = data.decode("utf-8", errors="replace")
    found = [f"{path}: line ends of Windows (CRLF)"] if b"\r\n" in data else []
    kinds = {_delimiters(line) for line in text.split("\n") if line.strip() and line.strip() != "0"}
    if len(kinds) > 1 or any(" and " in kind for kind in kinds):
        found.append(f"{path}: mixed delimiters ({'; '.join(sorted(kinds))})")
    return [Finding("note", text) for text in found]


def _delimiters(line: str) -> str:
    inner = line.strip()
    found = [name for character, name in _DELIMITERS.items() if character in inner]
    return " and ".join(name for name in found if name != "spaces" or len(found) == 1)


def _inspect_names(
    files: SequenceFiles, around: Surroundings, rows: int | None
) -> tuple[list[Finding], dict[int, Path]]:
    """Findings about the frames' names and number, and the frames that are there with their places in the sequence."""
    folder = next((folder for folder in files.folders if folder.is_dir()), None)
    if files.numbered and folder is not None:
        return find_frames(files, folder, rows, around.spans)
    if files.numbered or not files.folders[0].exists():
        return [absent(files.folders[0], "folder of frames", around.official)], {}
    try:
        frames = locate_frames(files)
    except UserError as error:
        return [Finding("unreadable" if files.folders[0].is_file() else "missing", str(error))], {}
    found = compare_length(files, rows, len(frames)) if rows is not None and rows != 1 else []
    if rows == 1 < len(frames):
        text = f"{files.annotation}: only the first frame has a box: it can be tracked, not trained on or scored"
        found.append(Finding("note", text))
    return found, dict(enumerate(frames))


def _inspect_pictures(
    files: SequenceFiles, opened: Sequence[Opened], annotation: Annotation | None, places: Sequence[int]
) -> list[Finding]:
    """Findings about frames that were opened; `places` are their rows in the annotation."""
    wrong = [one.error for one in opened if one.error]
    findings = [Finding("unreadable", error) for error in wrong[:_MOST_UNREADABLE]]
    if len(wrong) > _MOST_UNREADABLE:
        findings.append(Finding("unreadable", f"{files.folders[0]}: {len(wrong) - _MOST_UNREADABLE} more frames"))
    sizes = sorted({one.size for one in opened if not one.error})
    if len(sizes) > 1:
        texts = ", ".join(f"{width} x {height}" for width, height in sizes[:_MOST_UNREADABLE])
        # An official sequence has one size; a recording of one's own may change it midway.
        kind = "wrong size" if files.numbered else "size change"
        findings.append(Finding(kind, f"{opened[0].path.parent}: frames of {texts} pixels"))
    if annotation is None or not opened:
        return findings
    visible = annotation.visible
    seen = [(k, one.size) for k, one in zip(places, opened) if not one.error and k < len(visible) and visible[k]]
    rows = np.array([k for k, _ in seen], dtype=int)
    extents = np.array([size for _, size in seen], dtype=float).reshape(-1, 2)
    return findings + inspect_extents(f"{opened[0].path.parent}", annotation.boxes[rows], extents, rows)


def inspect_extents(place: str, boxes: np.ndarray, extents: np.ndarray, rows: np.ndarray) -> list[Finding]:
    """Boxes [N, 4] of visible targets against the (width, height) [N, 2] of their images; `rows` number them from 0."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    outside = ((low >= extents) | (high <= 0)).any(axis=1)
    over = ~outside & ((low < -_BORDER) | (high > extents + _BORDER)).any(axis=1)
    findings = []
    if outside.any():
        lines = number_text([int(row) + 1 for row in rows[outside]])
        findings.append(Finding("out of image", f"{place}: boxes lie outside the image in line {lines} of the boxes"))
    if over.any():
        findings.append(Finding("note", f"{place}: {int(over.sum())} boxes reach beyond the image"))
    return findings
