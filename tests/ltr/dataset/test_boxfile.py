"""Text files of numbers: what is read, what survives a round trip, and errors that name file and line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny_data import write_lines

from ltr.dataset.boxfile import (
    format_boxes,
    format_times,
    positive,
    read_boxes,
    read_flags,
    read_polygons,
    read_rows,
    read_times,
)
from ltr.errors import AnnotationError


@pytest.mark.parametrize(
    "line", ["1,2,3.5,4", "1\t2\t3.5\t4", "1 2  3.5 4", " 1, 2, 3.5, 4,", "1;2;3.5;4", "1e0,+2.,3.5,.4e1"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_boxes_are_separated_as_the_field_does(tmp_path: Path, line: str, end: str) -> None:
    file = tmp_path / "groundtruth.txt"
    file.write_bytes(b"\xef\xbb\xbf" + end.join([line, "nan,nan,NaN,nan", "", ""]).encode())
    boxes = read_boxes(file)
    assert boxes[0].tolist() == [1, 2, 3.5, 4] and np.isnan(boxes[1]).all() and len(boxes) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", "expected 4 numbers, found 3: '1,2,3'"),
        ("1,2,3,4,5", "expected 4 numbers, found 5"),
        ("", "expected 4 numbers, found 0"),
        ("1,2,three,4", "not numbers: '1,2,three,4'"),
        ("1,2,3,1_0", "not numbers"),
        ("1,2,3,\u0664", "not numbers"),
        ("1,2,3,\u00b2", "not numbers"),
        ("1,2,3,\uff14", "not numbers"),
        ("1,2,3,inf", "not numbers"),
        ("1,2,3,-Infinity", "not numbers"),
        ("1,2,3,0x10", "not numbers"),
        ("1,2,3,--4", "not numbers"),
        ("1,2,3\u00a04", "not numbers"),
        ("1,2,3,1e400", "too large or too long"),
        ("1,2,3," + "9" * 5000, "too large or too long"),
        ("1,2,3,0." + "3" * 5000, "too large or too long"),
        ("1,2,3,\x1b", "not numbers: '1,2,3,.x1b'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    # The third line makes up for the number that the second one lacks.
    path = write_lines(tmp_path / "boxes.txt", ["1,2,3,4", line, "1,2,3,4,5" if line == "1,2,3" else "1,2,3,4"])
    for read in (read_boxes, read_polygons):
        wanted = message.replace("expected 4", "expected 4 or 8" if read is read_polygons else "expected 4")
        with pytest.raises(AnnotationError, match=rf"boxes\.txt, line 2: .*{wanted}"):
            read(path)


def test_an_empty_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    for content in (b"", b"\n\n"):
        (tmp_path / "boxes.txt").write_bytes(content)
        with pytest.raises(AnnotationError, match=r"boxes\.txt: the file is empty"):
            read_boxes(tmp_path / "boxes.txt")
    with pytest.raises(AnnotationError, match=r"nowhere\.txt: no such file"):
        read_boxes(tmp_path / "nowhere.txt")
    with pytest.raises(AnnotationError, match="is a folder, not a file"):
        read_boxes(tmp_path)
    (tmp_path / "boxes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AnnotationError, match=r"boxes\.txt: not a text file"):
        read_flags(tmp_path / "boxes.txt")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "boxes.txt")
    for read in (read_boxes, read_flags, read_polygons):
        with pytest.raises(AnnotationError, match=r"boxes\.txt is a pipe"):
            read(tmp_path / "boxes.txt")


@pytest.mark.parametrize("lines", [["0,1,0,8"], ["0", "1", "0", "8"], ["0 1", "0 8"]])
def test_flags_in_a_line_or_a_column(tmp_path: Path, lines: list[str]) -> None:
    assert read_flags(write_lines(tmp_path / "absence.label", lines)).tolist() == [0, 1, 0, 8]


@pytest.mark.parametrize("flag", ["full", "\u00b2", "--5", "9" * 30, "\u0661", "1_0", "0.0", "nan", "-", "9" * 5000])
def test_a_flag_that_is_no_number_is_named(tmp_path: Path, flag: str) -> None:
    with pytest.raises(AnnotationError, match=rf"cover\.label, line 2: '{flag[:60]}' is not a whole number"):
        read_flags(write_lines(tmp_path / "cover.label", ["8", flag]))


def test_a_lone_zero_of_vot_is_an_absent_target(tmp_path: Path) -> None:
    boxes, polygons = read_polygons(write_lines(tmp_path / "a.txt", ["1,2,3,4", "0", " 0 ", "5,6,7,8"]))
    assert np.isnan(boxes[1:3]).all() and boxes[3].tolist() == [5, 6, 7, 8] and polygons is None
    boxes, polygons = read_polygons(write_lines(tmp_path / "b.txt", ["4,2,8,4,6,8,2,6", "0"]))
    assert polygons is not None and np.isnan(polygons[1]).all() and boxes[0].tolist() == [2, 2, 6, 6]
    for line in ("1", "00", "0,0"):
        with pytest.raises(AnnotationError, match="line 2: expected 4 or 8 numbers"):
            read_polygons(write_lines(tmp_path / "c.txt", ["1,2,3,4", line]))


def test_a_lone_zero_is_absent_where_that_is_asked_for(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.txt", ["1,2,3,4", "0"])
    assert np.isnan(read_boxes(file, lone_zero=True)[1]).all()
    with pytest.raises(AnnotationError, match="line 2: expected 4 numbers, found 1"):
        read_boxes(file)


@pytest.mark.parametrize("value", ["1e300", "-1e16", "1e400"])
def test_a_number_whose_area_would_overflow_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(AnnotationError, match=r"a\.txt, line 2: a number is too large"):
        read_boxes(write_lines(tmp_path / "a.txt", ["1,2,3,4", f"1,2,{value},4"]))
    assert read_boxes(write_lines(tmp_path / "b.txt", ["1,2,1e12,nan"]))[0, 2] == 1e12


@pytest.mark.parametrize("value", ["nan", "-0.1", "true", "inf", ""])
def test_a_time_is_a_number_of_seconds(tmp_path: Path, value: str) -> None:
    file = write_lines(tmp_path / "a_time.txt", ["0.5", "0", value, "0.5"])
    with pytest.raises(AnnotationError, match=r"a_time\.txt, line 3"):
        read_times(file, 4)
    good = write_lines(tmp_path / "b_time.txt", ["0.5,0", "0.1,0"])
    assert read_times(good, 2, columns=2).tolist() == [[0.5, 0], [0.1, 0]]
    for frames in (1, 3):
        with pytest.raises(AnnotationError, match=rf"b_time\.txt: 2 times for {frames} boxes; delete the file"):
            read_times(good, frames, columns=2)


def test_positive_boxes_are_finite_with_two_sides() -> None:
    boxes = np.array([[0, 0, 5, 5], [0, 0, 5, 0], [0, 0, -1, 5], [0, 0, np.nan, 5], [np.inf, 0, 5, 5], [0, 0, 3, 9]])
    assert positive(boxes).tolist() == [True, False, False, False, False, True]
    assert positive(boxes, 4).tolist() == [True, False, False, False, False, False]


@settings(deadline=None, derandomize=True)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(-1e5, 1e5)))
def test_boxes_keep_a_ten_thousandth_of_a_pixel(tmp_path_factory: pytest.TempPathFactory, boxes: np.ndarray) -> None:
    file = tmp_path_factory.mktemp("boxes") / "boxes.txt"
    file.write_text(format_boxes(boxes))
    assert np.abs(read_boxes(file) - boxes).max() <= 1e-4
    assert file.read_text().count("\t") == 3 * len(boxes)


def test_times_keep_less_than_a_microsecond(tmp_path: Path) -> None:
    file = tmp_path / "times.txt"
    file.write_text(format_times(np.array([0.25, 2.5e-7])))
    assert np.allclose(read_rows(file, 1)[:, 0], [0.25, 2.5e-7], rtol=0, atol=1e-9)
