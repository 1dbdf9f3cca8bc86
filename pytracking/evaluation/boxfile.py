"""Text files with one box, or one number, a line: annotations and raw results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ltr.dataset import boxfile
from ltr.errors import AnnotationError, UserError


@contextmanager
def _user_errors() -> Iterator[None]:
    try:
        yield
    except AnnotationError as error:
        raise UserError(str(error)) from None


def read_rows(path: str | os.PathLike[str], columns: int) -> np.ndarray:
    """Numbers from a text file, separated by commas, semicolons, tabs or spaces; whole, decimal or 'nan'.

    Returns:
        rows: [N, columns] float64.

    Raises:
        UserError: the file is missing, is not text, is empty, or a line has not `columns` numbers (it is named).
    """
    with _user_errors():
        return boxfile.read_rows(path, columns)


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
    with _user_errors():
        lines = boxfile.read_lines(path)
    boxes, polygons, found = np.empty((len(lines), 4)), np.empty((len(lines), 4, 2)), False
    for number, line in enumerate(lines, start=1):
        if line.startswith("m"):
            raise UserError(f"{path}, line {number}: a mask; this reader takes boxes and polygons of four corners")
        with _user_errors():
            values = boxfile.parse_numbers(path, number, line, (4, 8))
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
    with _user_errors():
        return boxfile.read_flags(path)


def format_boxes(boxes: np.ndarray) -> str:
    """Boxes [N, 4] as text, tab separated, with four decimals: exact to 5e-5 px."""
    return "".join("\t".join(f"{value:.4f}" for value in box) + "\n" for box in boxes)


def format_times(times: np.ndarray) -> str:
    """Seconds a frame [N] as text, one a line, with nanoseconds: a static box takes less than a microsecond."""
    return "".join(f"{value:.9f}\n" for value in times)
