"""Text files of numbers as tracking data sets have them: one box a line, or a flag a frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltr.errors import AnnotationError

_SEPARATORS = str.maketrans(",;\t", "   ")


def read_rows(path: str | os.PathLike[str], columns: int) -> np.ndarray:
    """Numbers from a text file, separated by commas, semicolons, tabs or spaces; whole, decimal or 'nan'.

    Returns:
        rows: [N, columns] float64.

    Raises:
        AnnotationError: the file is missing, is not text, is empty, or a line has not `columns` numbers (it is named).
    """
    lines = read_lines(path)
    rows = [line.translate(_SEPARATORS).split() for line in lines]
    try:
        if all(len(row) == columns for row in rows):
            return np.array([float(part) for row in rows for part in row], np.float64).reshape(-1, columns)
    except ValueError:
        pass
    # Something is wrong: line by line, so that the line can be named.
    return np.array([parse_numbers(path, number, line, (columns,)) for number, line in enumerate(lines, start=1)])


def read_boxes(path: str | os.PathLike[str]) -> np.ndarray:
    """Boxes [N, 4] float64 (x, y, w, h) as they stand in the file; errors as for `read_rows`."""
    return read_rows(path, 4)


def read_flags(path: str | os.PathLike[str]) -> np.ndarray:
    """Whole numbers [N] int64, separated by anything or by line ends: LaSOT has them in a line, GOT-10k in a column.

    Raises:
        AnnotationError: the file is missing, is not text, is empty, or has something else in it.
    """
    parts = " ".join(read_lines(path)).translate(_SEPARATORS).split()
    try:
        return np.array([int(part) for part in parts], np.int64)
    except ValueError:
        wrong = next(part for part in parts if not part.lstrip("-").isdigit())
        raise AnnotationError(f"{path}: '{wrong[:60]}' is not a whole number") from None


def parse_numbers(path: str | os.PathLike[str], number: int, line: str, columns: Sequence[int]) -> list[float]:
    """The numbers of one line, as many as one of `columns`. Raises AnnotationError, which names line `number`."""
    parts = line.translate(_SEPARATORS).split()
    if len(parts) not in columns:
        expected = " or ".join(map(str, columns))
        raise AnnotationError(f"{path}, line {number}: expected {expected} numbers, found {len(parts)}: '{line[:60]}'")
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise AnnotationError(f"{path}, line {number}: not numbers: '{line[:60]}'") from None


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file without the empty ones at its end, and without a byte order mark.

    Raises:
        AnnotationError: the file is missing, is not text, or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise AnnotationError(f"{path}: not a text file") from None
    lines = text.rstrip().splitlines()
    if not lines:
        raise AnnotationError(f"{path}: the file is empty")
    return lines


def positive(boxes: np.ndarray, smallest: float = 0.0) -> np.ndarray:
    """Which boxes [T, 4] are finite and have sides longer than `smallest` pixels."""
    return np.isfinite(boxes).all(axis=1) & (np.nan_to_num(boxes[:, 2:]) > smallest).all(axis=1)
