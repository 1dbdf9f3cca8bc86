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
        parts = line.translate(_SEPARATORS).split()
        if len(parts) != columns:
            raise UserError(f"{path}, line {number}: expected {columns} numbers, found {len(parts)}: '{line[:60]}'")
        try:
            rows[number - 1] = [float(part) for part in parts]
        except ValueError:
            raise UserError(f"{path}, line {number}: not numbers: '{line[:60]}'") from None
    return rows


def read_boxes(path: str | os.PathLike[str]) -> np.ndarray:
    """Boxes [N, 4] (x, y, w, h) as they stand in the file; errors as for `read_rows`."""
    return read_rows(path, 4)


def format_boxes(boxes: np.ndarray) -> str:
    """Boxes [N, 4] as text, tab separated, with four decimals: exact to 5e-5 px."""
    return "".join("\t".join(f"{value:.4f}" for value in box) + "\n" for box in boxes)


def format_times(times: np.ndarray) -> str:
    """Seconds a frame [N] as text, one a line, with nanoseconds: a static box takes less than a microsecond."""
    return "".join(f"{value:.9f}\n" for value in times)


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
