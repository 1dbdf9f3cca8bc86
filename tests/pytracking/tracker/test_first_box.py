"""The check of the box that a tracker starts on."""

from __future__ import annotations

import numpy as np
import pytest

from pytracking.tracker.inputs import check_first_box

IMAGE = np.zeros((120, 160, 3), np.uint8)


@pytest.mark.parametrize("box", [(10, 20, 30, 40), (-20.5, -5, 30, 40), (150, 110, 300, 300), (0, 0, 160, 120)])
def test_a_box_that_overlaps_the_image_is_returned_unchanged(box: tuple[float, ...]) -> None:
    checked = check_first_box(np.array(box), IMAGE)
    assert checked == box
    assert all(type(value) is float for value in checked)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((float("nan"), 0, 10, 10), "not finite"),
        ((0, 0, float("inf"), 10), "not finite"),
        ((0, 0, 0, 10), "empty"),
        ((0, 0, 10, -3), "empty"),
        ((160, 0, 10, 10), "outside the image of 160 x 120"),
        ((0, 120, 10, 10), "outside"),
        ((-10, 0, 10, 10), "outside"),
        ((0, -11, 10, 10), "outside"),
        ((1, 2, 3), "four numbers"),
        ((10**400, 1, 2, 3), "four numbers"),
        ((10, 10, 1e-300, 5), "a side that no target has"),
        ((10, 10, 5, 1e12), "a side that no target has"),
    ],
)
def test_a_bad_box_is_refused_and_named(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_first_box(box, IMAGE)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint16), np.full((4, 4, 3), 9.0), np.zeros((4, 4, 5), np.uint8), None]
)
def test_an_image_of_another_kind_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        check_first_box((0, 0, 2, 2), image)
