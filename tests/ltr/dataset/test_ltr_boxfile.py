"""Text files of numbers: what is read, and errors that name file and line."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_data import write_lines

from ltr.dataset.boxfile import positive, read_boxes, read_flags
from ltr.errors import AnnotationError


@pytest.mark.parametrize("line", ["1,2,3.5,4", "1\t2\t3.5\t4", "1 2  3.5 4", " 1, 2, 3.5, 4,", "1;2;3.5;4"])
def test_boxes_are_separated_as_the_field_does(tmp_path, line):
    boxes = read_boxes(write_lines(tmp_path / "groundtruth.txt", [line, "nan,nan,NaN,nan", ""]))
    assert boxes[0].tolist() == [1, 2, 3.5, 4] and np.isnan(boxes[1]).all() and len(boxes) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", "expected 4 numbers, found 3: '1,2,3'"),
        ("1,2,3,4,5", "expected 4 numbers, found 5"),
        ("", "expected 4 numbers, found 0"),
        ("1,2,three,4", "not numbers: '1,2,three,4'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    # The third line makes up for the number that the second one lacks.
    path = write_lines(tmp_path / "boxes.txt", ["1,2,3,4", line, "1,2,3,4,5" if line == "1,2,3" else "1,2,3,4"])
    with pytest.raises(AnnotationError, match=rf"boxes\.txt, line 2: {message}"):
        read_boxes(path)


def test_an_empty_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"boxes\.txt: the file is empty"):
        read_boxes(write_lines(tmp_path / "boxes.txt", [""]))
    with pytest.raises(AnnotationError, match=r"nowhere\.txt: no such file"):
        read_boxes(tmp_path / "nowhere.txt")
    (tmp_path / "boxes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AnnotationError, match=r"boxes\.txt: not a text file"):
        read_flags(tmp_path / "boxes.txt")


@pytest.mark.parametrize("lines", [["0,1,0,8"], ["0", "1", "0", "8"], ["0 1", "0 8"]])
def test_flags_in_a_line_or_a_column(tmp_path, lines):
    assert read_flags(write_lines(tmp_path / "absence.label", lines)).tolist() == [0, 1, 0, 8]


def test_a_flag_that_is_no_number_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"cover\.label: 'full' is not a whole number"):
        read_flags(write_lines(tmp_path / "cover.label", ["8", "full"]))


def test_positive_boxes_are_finite_with_two_sides():
    boxes = np.array([[0, 0, 5, 5], [0, 0, 5, 0], [0, 0, -1, 5], [0, 0, np.nan, 5], [np.inf, 0, 5, 5], [0, 0, 3, 9]])
    assert positive(boxes).tolist() == [True, False, False, False, False, True]
    assert positive(boxes, 4).tolist() == [True, False, False, False, False, False]
