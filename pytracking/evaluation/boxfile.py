"""Text files with one box, or one number, a line: annotations and raw results."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pytracking.errors import UserError

_SEPARATORS = str.maketrans(",;\t", "   ")


def read_rows(path: str | os.PathLike[str], columns: int) -> np.ndarray:
    """Numbers from a text file, separated by commas, semicolons, tabs or spaces; whole, decimal or 'nan'.

    Returns:
        rows: [N, columns] float64.

    Raises:
        UserError: the file is missing, is not text, is empty, or a line has not `columns` numbers (it is named).
    """
    lines = _read_lines(path)
    rows = np.empty((len(lines), columns), np.float64)
    for number, line in enumerate(lines, start=1):
        rows[number - 1] = _numbers(path, number, line, (columns,))
    return rows


def read_boxes(path: str | os.PathLike[str]) -> np.ndarray:
    """Boxes [N, 4] (x, y, w, h) as they stand in the file; errors as for `read_rows`."""
    return read_rows(path, 4)


def read_polygons(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Annotation in VOT's manner: a line has a box (x, y, w, h) or the four corners of a polygon (x1, y1, ... y4).

    Returns:
        boxes: [N, 4] float64 (x, y, w, h); of a polygon the smallest upright box around it.
        polygons: [N, 4, 2] float64 (x, y), a box as its corners; None where all lines are boxes.

    Raises:
        UserError: as for `read_rows`; masks (VOT2020 and later) are refused by name.
    """
    lines = _read_lines(path)
    boxes, polygons, found = np.empty((len(lines), 4)), np.empty((len(lines), 4, 2)), False
    for number, line in enumerate(lines, start=1):
        if line.startswith("m"):
            raise UserError(f"{path}, line {number}: a mask; this reader takes boxes and polygons of four corners")
        values = _numbers(path, number, line, (4, 8))
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
        UserError: the file is missing, is not text, is empty, or has something else in it.
    """
    parts = " ".join(_read_lines(path)).translate(_SEPARATORS).split()
    try:
        return np.array([int(part) for part in parts], np.int64)
    except ValueError:
        wrong = next(part for part in parts if not part.lstrip("-").isdigit())
        raise UserError(f"{path}: '{wrong[:60]}' is not a whole number") from None


def format_boxes(boxes: np.ndarray) -> str:
    """Boxes [N, 4] as text, tab separated, with four decimals: exact to 5e-5 px."""
    return "".join("\t".join(f"{value:.4f}" for value in box) + "\n" for box in boxes)


def format_times(times: np.ndarray) -> str:
    """Seconds a frame [N] as text, one a line, with nanoseconds: a static box takes less than a microsecond."""
    return "".join(f"{value:.9f}\n" for value in times)


def _numbers(path: str | os.PathLike[str], number: int, line: str, columns: tuple[int, ...]) -> list[float]:
    parts = line.translate(_SEPARATORS).split()
    if len(parts) not in columns:
        expected = " or ".join(map(str, columns))
        raise UserError(f"{path}, line {number}: expected {expected} numbers, found {len(parts)}: '{line[:60]}'")
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise UserError(f"{path}, line {number}: not numbers: '{line[:60]}'") from None


def _read_lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise UserError(f"{path}: not a text file") from None
    lines = text.rstrip().splitlines()
    if not lines:
        raise UserError(f"{path}: the file is empty")
    return lines
