"""Drawing: boxes lie where they should, and nothing odd breaks it."""

from __future__ import annotations

import numpy as np
import pytest

from pytracking.visualise import (
    COLOURS,
    add_title,
    contact_sheet,
    draw_annotation,
    draw_box,
    resize_to_width,
    rgb,
    with_legend,
)


def blank() -> np.ndarray:
    return np.full((60, 80, 3), 128, np.uint8)


@pytest.mark.parametrize("thickness", [1, 2, 3])
def test_a_box_is_drawn_on_its_edges(thickness: int) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    draw_box(image, (10, 20, 30.5, 15), "#FF0000", thickness)
    # A box edge at x lies between the pixels x - 1 and x, so that the line's middle is at x - 0.5.
    across, down = image[28, :, 0].astype(float), image[:, 25, 0].astype(float)
    for line, (first, last) in ((across, (9.5, 40)), (down, (19.5, 34.5))):
        positions = np.arange(len(line))
        for expected in (first, last):
            near = np.abs(positions - expected) < 4
            assert abs((line * positions)[near].sum() / line[near].sum() - expected) < 0.25
    assert not image[..., 1:].any()


@pytest.mark.parametrize("box", [(np.nan, 1, 2, 3), (1, 1, 0, 5), (np.inf, 0, 1, 1)])
def test_boxes_that_are_none_are_left_out(box: tuple[float, ...]) -> None:
    image = blank()
    draw_box(image, box, COLOURS[0], 2, "label")
    draw_annotation(image, box)
    assert (image == 128).all()


@pytest.mark.parametrize("box", [(-20, -20, 30, 30), (70, 50, 40, 40), (0, 0, 80, 60), (500, 500, 3, 3)])
def test_labels_stay_in_the_image(box: tuple[float, ...]) -> None:
    image = blank()
    draw_box(image, box, "#D55E00", 2, "x 0.5")
    assert (image == rgb("#D55E00")).all(axis=2).sum() > 50, "the plate is visible wherever the box is"


def test_annotations_are_seen_on_black_and_on_white() -> None:
    for ground in (0, 255):
        image = np.full((60, 80, 3), ground, np.uint8)
        draw_annotation(image, (10, 10, 40, 30))
        assert np.abs(image.astype(int) - ground).max() > 150


def test_legend_and_title() -> None:
    image = blank()
    add_title(image, "dog 1/9")
    assert (image[:10, :10] != 128).any()
    wide = with_legend(np.zeros((60, 400, 3), np.uint8), [("one", COLOURS[0]), ("two", COLOURS[1])])
    assert wide.shape[0] == 84
    assert all((wide[60:] == rgb(colour)).all(axis=2).any() for colour in COLOURS[:2])
    narrow = with_legend(blank(), [("tracker one", COLOURS[0]), ("tracker two", COLOURS[1])])
    assert narrow.shape[0] == 60 + 2 * 24


def test_contact_sheet() -> None:
    cell = resize_to_width(blank(), 40)
    assert cell.shape == (30, 40, 3)
    assert contact_sheet([[cell, cell, cell], [cell, cell, cell]]).shape == (2 * 34, 3 * 44, 3)


def test_colours() -> None:
    assert rgb("#0A10FF") == (10, 16, 255)
    assert len(set(COLOURS)) == len(COLOURS) >= 7
