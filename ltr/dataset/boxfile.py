"""Text files of numbers as tracking data sets and raw results have them: one box a line, or a flag a frame."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np

from ltr.admin.inputs import check_name, read_text
from ltr.errors import AnnotationError, UserError, printable

_SEPARATORS = str.maketrans(",;\t", "   ")
# Decimal numbers and 'nan', with their separators. Python's float() also takes '1_0', other scripts' digits and 'inf'.
_NUMBERS = re.compile(r"[0-9eE+\-.nNaA,; \t\n]*")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_LONGEST_NUMBER = 64
# Areas and distances of larger ones would overflow.
_LARGEST_NUMBER = 1e15
# An hour at 1000 frames a second.
_MAX_BYTES = 1 << 28


def read_rows(path: str | os.PathLike[str], columns: int, lone_zero: bool = False) -> np.ndarray:
    """Numbers from a text file, separated by commas, semicolons, tabs or spaces; whole, decimal or 'nan'.

    Args:
        columns: number of numbers in a line.
        lone_zero: whether a line with nothing but `0` is taken, as NaN.

    Returns:
        rows: [N, columns] float64.

    Raises:
        AnnotationError: the file is missing, is not text, is empty, or a line has not `columns` numbers (it is named).
    """
    absent = " ".join(["nan"] * columns)
    lines = [absent if lone_zero and line.strip() == "0" else line for line in read_lines(path)]
    rows = [line.translate(_SEPARATORS).split() for line in lines]
    parts = [part for row in rows for part in row]
    if all(len(row) == columns for row in rows) and max(map(len, parts)) <= _LONGEST_NUMBER:
        try:
            values = np.array([float(part) for part in parts], np.float64)
            if _NUMBERS.fullmatch("\n".join(lines)) and not (np.abs(values) > _LARGEST_NUMBER).any():
                return values.reshape(-1, columns)
        except ValueError:
            pass
    # Something is wrong: line by line, so that the line can be named.
    return np.array([parse_numbers(path, number, line, (columns,)) for number, line in enumerate(lines, start=1)])


def read_boxes(path: str | os.PathLike[str], lone_zero: bool = False) -> np.ndarray:
    """Boxes [N, 4] float64 (x, y, w, h) as they stand in the file; arguments and errors as for `read_rows`."""
    return read_rows(path, 4, lone_zero)


def read_times(path: str | os.PathLike[str], frames: int, columns: int = 1) -> np.ndarray:
    """Seconds [frames, columns] float64 that frames took.

    Raises:
        AnnotationError: as `read_rows`, a time below 0 or NaN, or another number of lines than `frames`.
    """
    times = read_rows(path, columns)
    if len(times) != frames:
        raise AnnotationError(f"{path}: {len(times)} times for {frames} boxes; delete the file, or make both again")
    # Written so that NaN is refused as well.
    bad = ~(times >= 0).all(axis=1)
    if bad.any():
        raise AnnotationError(f"{path}, line {int(bad.argmax()) + 1}: a time is no number of seconds; delete the file")
    return times


def read_polygons(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Annotation in VOT's format: a line has a box (x, y, w, h), the four corners of a polygon (x1, y1, ... y4), or a
    lone `0` where the target is absent.

    Returns:
        boxes: [N, 4] float64 (x, y, w, h); of a polygon the smallest upright box around it, NaN for an absent target.
        polygons: [N, 4, 2] float64 (x, y), a box as its corners; None where no line has a polygon.

    Raises:
        AnnotationError: as for `read_rows`; masks (VOT2020 and later) are refused by name.
    """
    lines = read_lines(path)
    boxes, polygons, found = np.empty((len(lines), 4)), np.empty((len(lines), 4, 2)), False
    for number, line in enumerate(lines, start=1):
        if line.startswith("m"):
            raise AnnotationError(f"{path}, line {number}: a mask; wanted a box or a polygon of four corners")
        values = [np.nan] * 4 if line.strip() == "0" else parse_numbers(path, number, line, (4, 8))
        if len(values) == 4:
            x, y, width, height = values
            values = [x, y, x + width, y, x + width, y + height, x, y + height]
            boxes[number - 1] = x, y, width, height
        else:
            found = True
            left, top, right, bottom = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
            boxes[number - 1] = left, top, right - left, bottom - top
        polygons[number - 1] = np.reshape(values, (4, 2))
    return boxes, polygons if found else None


def read_flags(path: str | os.PathLike[str]) -> np.ndarray:
    """Whole numbers [N] int64, separated by anything or by line ends: LaSOT has them in a line, GOT-10k in a column.

    Raises:
        AnnotationError: the file is missing, is not text, is empty, or has something else in it (the line is named).
    """
    flags: list[int] = []
    for number, line in enumerate(read_lines(path), start=1):
        for part in line.translate(_SEPARATORS).split():
            if not _WHOLE.fullmatch(part):
                raise AnnotationError(f"{path}, line {number}: '{printable(part[:60])}' is not a whole number")
            flags.append(int(part))
    return np.array(flags, np.int64)


def parse_numbers(path: str | os.PathLike[str], number: int, line: str, columns: Sequence[int]) -> list[float]:
    """The numbers of one line, as many as one of `columns`. Raises AnnotationError, which names line `number`."""
    parts = line.translate(_SEPARATORS).split()
    shown = printable(line[:60])
    if len(parts) not in columns:
        expected = " or ".join(map(str, columns))
        raise AnnotationError(f"{path}, line {number}: expected {expected} numbers, found {len(parts)}: '{shown}'")
    try:
        if not _NUMBERS.fullmatch(line):
            raise ValueError
        values = [float(part) for part in parts]
    except ValueError:
        raise AnnotationError(f"{path}, line {number}: not numbers: '{shown}'") from None
    if any(len(part) > _LONGEST_NUMBER for part in parts) or (np.abs(values) > _LARGEST_NUMBER).any():
        raise AnnotationError(f"{path}, line {number}: a number is too large or too long: '{shown}'")
    return values


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file without the empty ones at its end, and without a byte order mark.

    Raises:
        AnnotationError: the file is missing, is not text, or is empty.
    """
    text = read_text(path, _MAX_BYTES, AnnotationError).rstrip()
    if not text:
        raise AnnotationError(f"{path}: the file is empty")
    return text.split("\n")


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of sequences in a text file, one a line; those that could lead out of a folder are refused.

    Empty lines are passed over. Raises `AnnotationError` as `read_lines`, naming the line.
    """
    names = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            try:
                names.append(check_name("sequence", line.strip()))
            except UserError as error:
                raise AnnotationError(f"{path}, line {number}: {error}") from None
    return names


def positive(boxes: np.ndarray, smallest: float = 0.0) -> np.ndarray:
    """Which boxes [T, 4] are finite and have sides longer than `smallest` pixels."""
    return np.isfinite(boxes).all(axis=1) & (np.nan_to_num(boxes[:, 2:]) > smallest).all(axis=1)


def format_boxes(boxes: np.ndarray) -> str:
    """Boxes [N, 4] as text, tab separated, with four decimals: exact to 5e-5 px."""
    return "".join("\t".join(f"{value:.4f}" for value in box) + "\n" for box in boxes)


def format_times(times: np.ndarray) -> str:
    """Seconds a frame [N] as text, one a line, with nanoseconds: a static box takes less than a microsecond."""
    return "".join(f"{value:.9f}\n" for value in times)
