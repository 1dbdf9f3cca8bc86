"""Overlaps, centre errors and curves: closed forms and invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pytracking.analysis import metrics

TWENTIETHS = np.arange(21) / 20


def boxes(rows: int = 6) -> st.SearchStrategy[np.ndarray]:
    """[rows, 4] boxes with whole corners and sizes from 1 to 60 px."""
    corner = arrays.arrays(np.float64, (rows, 2), elements=st.integers(-50, 50).map(float))
    size = arrays.arrays(np.float64, (rows, 2), elements=st.integers(1, 60).map(float))
    return st.tuples(corner, size).map(lambda parts: np.concatenate(parts, axis=1))


def test_overlap_closed_forms() -> None:
    annotated = np.array([[0.0, 0, 10, 10]] * 5)
    predicted = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [2, 2, 5, 5], [0, 0, 0, 0]])
    assert np.allclose(metrics.box_overlap(predicted, annotated), [1, 1 / 3, 0, 0.25, 0])


def test_overlap_of_boxes_that_are_not_finite_or_empty_is_zero() -> None:
    predicted = np.array([[np.nan, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    annotated = np.array([[0, 0, 1.0, 1], [np.nan] * 4, [0, 0, 0, 0]])
    assert metrics.box_overlap(predicted, annotated).tolist() == [0, 0, 0]


@settings(deadline=None, derandomize=True)
@given(boxes(), boxes(), st.integers(-20, 20), st.integers(1, 4))
def test_overlap_invariants(first: np.ndarray, second: np.ndarray, shift: int, factor: int) -> None:
    overlap = metrics.box_overlap(first, second)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    assert np.array_equal(overlap, metrics.box_overlap(second, first))
    moved = np.array([shift, -shift, 0, 0])
    assert np.allclose(overlap, metrics.box_overlap(first + moved, second + moved), atol=1e-12)
    assert np.allclose(overlap, metrics.box_overlap(factor * first, factor * second), atol=1e-12)
    assert np.allclose(metrics.box_overlap(first, first), 1)


@settings(deadline=None, derandomize=True)
@given(boxes(1), boxes(1))
def test_overlap_counts_whole_pixels(first: np.ndarray, second: np.ndarray) -> None:
    def pixels(box: np.ndarray) -> set[tuple[int, int]]:
        x, y, w, h = (int(value) for value in box)
        return {(i, j) for i in range(x, x + w) for j in range(y, y + h)}

    one, other = pixels(first[0]), pixels(second[0])
    assert np.isclose(metrics.box_overlap(first, second)[0], len(one & other) / len(one | other))


def test_centre_error_closed_forms() -> None:
    annotated = np.array([[10.0, 20, 30, 40]] * 3)
    predicted = np.array([[13.0, 24, 30, 40], [10, 20, 36, 48], [10, 20, 30, 40]])
    assert metrics.centre_error(predicted, annotated).tolist() == [5, 5, 0]
    assert np.allclose(metrics.centre_error(predicted, annotated, normalised=True), [np.hypot(0.1, 0.1)] * 2 + [0])
    assert not np.isfinite(metrics.centre_error(predicted[:1], np.zeros((1, 4)), normalised=True)).any()


def test_curves_count_strictly_above_and_at_most() -> None:
    overlap = np.array([0.5, 0.75, 1.0, 0.0])
    curve = metrics.success_curve(overlap, TWENTIETHS, 4)
    assert (curve[0], curve[9], curve[10], curve[15], curve[20]) == (0.75, 0.75, 0.5, 0.25, 0)
    assert metrics.precision_curve(np.array([0.0, 2, 2.5, np.nan, np.inf]), np.arange(4.0), 5).tolist() == [
        0.2,
        0.2,
        0.4,
        0.6,
    ]


@settings(deadline=None, derandomize=True)
@given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)))
def test_curves_are_monotone(values: np.ndarray) -> None:
    assert (np.diff(metrics.success_curve(values, TWENTIETHS, len(values))) <= 0).all()
    assert (np.diff(metrics.precision_curve(values, TWENTIETHS, len(values))) >= 0).all()


@settings(deadline=None, derandomize=True)
@given(arrays.arrays(np.bool_, 12), arrays.arrays(np.bool_, 12), st.sampled_from([2, 3]))
def test_empty_boxes_repeat_the_one_before(empty: np.ndarray, repeatable: np.ndarray, side: int) -> None:
    predicted = np.stack([np.arange(12.0)] * 4, axis=1) + 1
    predicted[empty, side] = 0
    expected = predicted.copy()
    for number in range(1, 12):
        if empty[number] and repeatable[number]:
            expected[number] = expected[number - 1]
    assert np.array_equal(metrics.repeat_over_empty(predicted, repeatable), expected)


def test_repeating_over_nothing() -> None:
    assert metrics.repeat_over_empty(np.zeros((0, 4)), np.zeros(0, bool)).shape == (0, 4)
    with pytest.raises(ValueError, match="broadcast"):
        metrics.repeat_over_empty(np.zeros((3, 4)), np.zeros(2, bool))
