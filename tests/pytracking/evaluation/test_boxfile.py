"""Text files of boxes: what is read, what is refused, what survives a round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ltr.errors import UserError
from pytracking.evaluation.boxfile import format_boxes, format_times, read_boxes, read_rows


@pytest.mark.parametrize(
    "text",
    ["1,2,3,4\n5,6,7,8\n", "1\t2\t3\t4\n5\t6\t7\t8", "1 2  3 4\r\n5 6 7 8\r\n", "1.0, 2.0, 3.0,4\n5;6;7;8\n\n\n"],
)
def test_separators_and_line_ends(tmp_path: Path, text: str) -> None:
    file = tmp_path / "boxes.txt"
    file.write_bytes(text.encode())
    assert read_boxes(file).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_absent_targets_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "boxes.txt"
    file.write_bytes(b"\xef\xbb\xbf1,2,3,4\nNaN,NaN,NaN,NaN\n")
    boxes = read_boxes(file)
    assert boxes[0].tolist() == [1, 2, 3, 4]
    assert np.isnan(boxes[1]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"1,2,3,4\n5,6\n", "line 2: expected 4 numbers, found 2"),
        (b"1,2,3,4\n\n5,6,7,8\n", "line 2: expected 4 numbers, found 0"),
        (b"1,2,x,4\n", "line 1: not numbers"),
        (b"\xff\xfe\x00\x01", "not a text file"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "boxes.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_boxes(file)
    assert str(file) in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_boxes(tmp_path / "none.txt")
    with pytest.raises(UserError, match="not a text file"):
        read_boxes(tmp_path)


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
