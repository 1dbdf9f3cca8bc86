"""What is wrong with the files of one training video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.data.image import ImageHeader, verify_image
from ltr.dataset.boxfile import positive, read_boxes, read_flags
from ltr.dataset.filenames import find_misnamed, first_missing, frame_number, image_suffix, number_text, similar_names
from ltr.dataset.folders import list_frames
from ltr.dataset.videos import VideoFiles
from ltr.errors import AnnotationError, ImageError

# Annotators draw to the border of the picture and round.
_BORDER = 1.0
Mapper = Callable[[Callable[[Path], "Opened"], Iterable[Path]], Iterator["Opened"]]


@dataclass(frozen=True)
class Finding:
    """Something noticed about a sequence.

    Attributes:
        kind: 'missing', 'misnamed', 'short', 'long', 'unreadable', 'wrong count', 'wrong flag', 'not a number',
            'out of image', 'wrong size' or 'note'.
        text: what, and where.
    """

    kind: str
    text: str

    @property
    def harmless(self) -> bool:
        """Whether the sequence is trained on rightly all the same."""
        return self.kind == "note"


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
    except ImageError as error:
        return Opened(path, error=str(error))
    return Opened(path, header.size, header=header)


def inspect_video(files: VideoFiles, mapper: Mapper | None, numbered: bool = True) -> list[Finding]:
    """Everything that can be told of a video.

    Args:
        files: where its files should be.
        mapper: opens frames, such as the `map` of a pool of threads; None opens none.
        numbered: frames have the names that `files` gives them; else any images in the folder, in order, are frames.
    """
    findings, boxes, visible = inspect_annotation(files, absence_is_nan=not numbered)
    if not files.frames.is_dir():
        return [*findings, absent(files.frames, "folder of frames")]
    inspect = _numbered_frames if numbered else _any_frames
    found, frames = inspect(files, None if boxes is None else len(boxes))
    findings += found
    if mapper is not None:
        findings += inspect_pictures([path for _, path in frames], mapper, boxes, visible, [k for k, _ in frames])
    return findings


def absent(path: Path, what: str) -> Finding:
    """The finding for a file or folder that is not there, or is there under another name."""
    if rename := find_misnamed(path, ()):
        return Finding("misnamed", f"{rename[0]} should be {rename[1].name}")
    similar, lost = similar_names(path), first_missing(path)
    text = f"{lost}: no such {what if lost == path else 'folder'}"
    return Finding("missing", text + (f"; there is {', '.join(similar)}" if similar else ""))


def inspect_annotation(
    files: VideoFiles, absence_is_nan: bool
) -> tuple[list[Finding], np.ndarray | None, np.ndarray | None]:
    """Findings about a video's text files; its boxes [T, 4] and where no flag hides the target [T], if readable."""
    wanted = [files.annotation, *(flag.path for flag in files.flags)]
    findings = [absent(path, "annotation") for path in wanted if not path.is_file()]
    if not files.annotation.is_file():
        return findings, None, None
    try:
        boxes = read_boxes(files.annotation)
    except AnnotationError as error:
        return [*findings, Finding("unreadable", str(error))], None, None
    shown = np.ones(len(boxes), dtype=bool)
    for flag in files.flags:
        if not flag.path.is_file():
            continue
        try:
            values = read_flags(flag.path)
        except AnnotationError as error:
            findings.append(Finding("unreadable", str(error)))
            continue
        if len(values) != len(boxes):
            findings.append(Finding("wrong count", f"{flag.path}: {len(values)} flags for {len(boxes)} boxes"))
        else:
            shown &= (values != 0) if flag.hidden_if_zero else (values == 0)
        strange = np.flatnonzero((values < 0) | (values > flag.highest))
        if len(strange):
            text = f"{flag.path}: {values[strange[0]]} for frame {strange[0] + 1}; wanted 0 to {flag.highest}"
            findings.append(Finding("wrong flag", text))
    return [*findings, *_inspect_boxes(files, boxes, shown, absence_is_nan)], boxes, shown & positive(boxes)


def _inspect_boxes(files: VideoFiles, boxes: np.ndarray, shown: np.ndarray, absence_is_nan: bool) -> list[Finding]:
    findings = []
    broken = ~np.isfinite(boxes).all(axis=1)
    empty = ~broken & (boxes[:, 2:] <= 0).any(axis=1)
    lines = _lines(broken & shown)
    if lines and not absence_is_nan:
        text = f"{files.annotation}: boxes are not numbers (NaN) in line {number_text(lines)}"
        findings.append(Finding("not a number", text))
    for where, what in ((broken if absence_is_nan else broken & ~shown, "not numbers"), (empty, "empty")):
        if where.any():
            text = f"{files.annotation}: {int(where.sum())} boxes are {what}, so the target counts as absent there"
            findings.append(Finding("note", text))
    if (shown & positive(boxes)).sum() < 2:
        findings.append(Finding("note", f"{files.annotation}: fewer than two visible frames: the video is never drawn"))
    return findings


def _lines(where: np.ndarray) -> list[int]:
    return [int(index) + 1 for index in np.flatnonzero(where)]


def _any_frames(files: VideoFiles, rows: int | None) -> tuple[list[Finding], list[tuple[int, Path]]]:
    frames = list(enumerate(list_frames(files.frames.parent)))
    if not frames:
        return [Finding("missing", f"{files.frames}: no frames")], []
    if rows is not None and rows != len(frames):
        kind = "short" if len(frames) < rows else "long"
        return [Finding(kind, f"{files.frames}: {len(frames)} images for {rows} boxes")], frames
    return [], frames


def _numbered_frames(files: VideoFiles, rows: int | None) -> tuple[list[Finding], list[tuple[int, Path]]]:
    """Findings about the names of frames, and the frames that are there with their places in the video."""
    images: dict[str, int] = {}
    suffix = files.suffix.removeprefix(".")
    for path in files.frames.iterdir():
        number = frame_number(path)
        if image_suffix(path) == suffix and number is not None and not path.name.startswith("."):
            images[path.name] = number
    if not images:
        return [Finding("missing", f"{files.frames}: no frames such as {files.frame_name(0)}")], []
    count = rows if rows is not None else max(images.values()) - files.first + 1
    missing = [k for k in range(count) if files.frame_name(k) not in images]
    findings = []
    written = {number: name for name, number in sorted(images.items())}
    misnamed = [k for k in missing if k + files.first in written]
    if misnamed:
        more = f", and {len(misnamed) - 1} more" if len(misnamed) > 1 else ""
        name = written[misnamed[0] + files.first]
        text = f"{files.frames / name} should be {files.frame_name(misnamed[0])}{more}"
        findings.append(Finding("misnamed", text))
    lost = [k + files.first for k in missing if k not in misnamed]
    if lost:
        tail = min(lost) > max(images.values())
        text = f"{files.frames}: {_frames(lost)} missing" + (", the last of the sequence" if tail else "")
        findings.append(Finding("short" if tail else "missing", text))
    over = sum(number >= count + files.first for number in images.values())
    if over:
        findings.append(Finding("long", f"{files.frames}: {over} frames have no box; there are {count} boxes"))
    return findings, [(k, files.frames / files.frame_name(k)) for k in range(count) if k not in set(missing)]


def _frames(numbers: list[int]) -> str:
    return f"frame {number_text(numbers)} is" if len(numbers) == 1 else f"frames {number_text(numbers)} are"


def inspect_pictures(
    frames: Sequence[Path],
    mapper: Mapper,
    boxes: np.ndarray | None,
    visible: np.ndarray | None,
    places: Sequence[int],
) -> list[Finding]:
    """Open frames; `places` are their rows in `boxes` [T, 4] and `visible` [T]."""
    opened = list(mapper(open_frame, frames))
    findings = [Finding("unreadable", one.error) for one in opened if one.error]
    sizes = {one.size for one in opened if not one.error}
    if len(sizes) > 1:
        texts = ", ".join(f"{width} x {height}" for width, height in sorted(sizes))
        findings.append(Finding("wrong size", f"{frames[0].parent}: frames of {texts} pixels"))
    if boxes is None or visible is None:
        return findings
    inside = [(place, one.size) for place, one in zip(places, opened) if not one.error and place < len(boxes)]
    rows = np.array([place for place, _ in inside if visible[place]], dtype=int)
    extents = np.array([size for place, size in inside if visible[place]], dtype=float).reshape(-1, 2)
    return findings + inspect_extents(f"{frames[0].parent if frames else ''}", boxes[rows], extents, rows)


def inspect_extents(place: str, boxes: np.ndarray, extents: np.ndarray, rows: np.ndarray) -> list[Finding]:
    """Boxes [N, 4] of visible targets against the (width, height) [N, 2] of their images; `rows` number them from 0."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    outside = ((low >= extents) | (high <= 0)).any(axis=1)
    over = ~outside & ((low < -_BORDER) | (high > extents + _BORDER)).any(axis=1)
    findings = []
    if outside.any():
        numbers = [int(row) + 1 for row in rows[outside]]
        findings.append(Finding("out of image", f"{place}: boxes lie outside the image in {_frames_at(numbers)}"))
    if over.any():
        findings.append(Finding("note", f"{place}: {int(over.sum())} boxes reach beyond the image"))
    return findings


def _frames_at(numbers: list[int]) -> str:
    return f"line {number_text(numbers)} of the boxes"
