from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.tracker.shared.localisation import LocalisationThresholds, from_centre, localise, softmax_map

CENTRE = np.zeros(2, dtype=np.float32)
THREE_CELLS = np.array([3, 3], dtype=np.float32) / np.float32(2.2)


def score_map(peaks: dict[tuple[int, int], float], shape: tuple[int, int] = (19, 19)) -> np.ndarray:
    scores = np.zeros(shape, dtype=np.float32)
    for cell, value in peaks.items():
        scores[cell] = value
    return scores


def flag_and_cell(peaks, previous=CENTRE, **thresholds):
    found = localise(
        score_map(peaks), np.asarray(previous, np.float32), THREE_CELLS, LocalisationThresholds(**thresholds)
    )
    return found.flag, found.cell


@pytest.mark.parametrize(
    ("second", "flag"), [(0.2, "normal"), (0.5, "normal"), (0.51, "hard_negative"), (0.8, "hard_negative")]
)
def test_second_peak_below_the_distractor_threshold(second, flag):
    assert flag_and_cell({(9, 9): 1.0, (3, 3): second}) == (flag, (9, 9))


def test_a_low_peak_is_not_found():
    assert flag_and_cell({(9, 9): 0.24}) == ("not_found", (9, 9))
    assert flag_and_cell({(9, 9): 0.25}) == ("normal", (9, 9))


def test_a_second_peak_that_would_not_be_found_is_no_hard_negative():
    assert flag_and_cell({(9, 9): 0.4, (3, 3): 0.24}) == ("normal", (9, 9))
    assert flag_and_cell({(9, 9): 0.4, (3, 3): 0.26}) == ("hard_negative", (9, 9))


def test_of_two_equal_peaks_the_near_one_wins_if_the_other_is_far():
    # Half the map's side is 9.5 cells; displacements are large beyond 7.6.
    assert flag_and_cell({(9, 9): 1.0, (0, 0): 0.9}) == ("hard_negative", (9, 9))
    assert flag_and_cell({(0, 0): 1.0, (9, 9): 0.9}) == ("hard_negative", (9, 9))
    assert flag_and_cell({(9, 9): 1.0, (9, 14): 0.9}) == ("uncertain", (9, 9))
    assert flag_and_cell({(0, 0): 1.0, (18, 18): 0.9}) == ("uncertain", (0, 0))


def test_displacement_counts_from_the_previous_position():
    peaks = {(9, 9): 0.9, (0, 0): 1.0}
    assert flag_and_cell(peaks, previous=(-9, -9)) == ("hard_negative", (0, 0))


def test_the_score_is_that_of_the_highest_peak_even_if_the_second_is_taken():
    found = localise(score_map({(0, 0): 1.0, (9, 9): 0.9}), CENTRE, THREE_CELLS, LocalisationThresholds())
    assert (found.cell, found.score) == ((9, 9), 1.0)


@pytest.mark.parametrize(
    ("neighbour", "flag"),
    [((8, 8), "normal"), ((10, 10), "normal"), ((7, 9), "uncertain"), ((11, 9), "uncertain"), ((9, 11), "uncertain")],
)
def test_neighbourhood_is_not_searched_for_a_second_peak(neighbour, flag):
    # Rows round(9 - 1.5) = 8 up to round(9 + 2.5) = 12 exclusive would hold row 11: Python rounds 11.5 to 12, half
    # to even; with a side of 2.9 cells the neighbourhood is 8..10.
    scores = score_map({(9, 9): 1.0, neighbour: 0.95})
    side = np.array([2.9, 2.9], dtype=np.float32) / np.float32(2.2)
    assert localise(scores, CENTRE, side, LocalisationThresholds()).flag == flag


def test_neighbourhood_is_rounded_half_to_even():
    side = np.array([3, 3], dtype=np.float32)
    thresholds = LocalisationThresholds(target_neighborhood_scale=1.0)
    inside = score_map({(9, 9): 1.0, (11, 9): 0.95})
    assert localise(inside, CENTRE, side, thresholds).flag == "normal"
    above = score_map({(9, 9): 1.0, (7, 9): 0.95})
    assert localise(above, CENTRE, side, thresholds).flag == "uncertain"


def test_neighbourhood_at_the_maps_border():
    scores = score_map({(0, 18): 1.0, (1, 17): 0.95})
    assert localise(scores, CENTRE, THREE_CELLS, LocalisationThresholds()).flag == "normal"
    huge = np.array([100, 100], dtype=np.float32)
    assert localise(scores, CENTRE, huge, LocalisationThresholds()).flag == "normal"


@given(values=st.lists(st.floats(-1, 2, width=32), min_size=25, max_size=25))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_the_score_is_the_maximum_and_the_map_is_left_alone(values):
    scores = np.array(values, dtype=np.float32).reshape(5, 5)
    before = scores.copy()
    found = localise(scores, CENTRE, THREE_CELLS, LocalisationThresholds())
    assert found.score == scores.max()
    assert (found.flag == "not_found") == (scores.max() < 0.25)
    assert np.array_equal(scores, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_an_error(bad):
    with pytest.raises(ValueError, match="not finite"):
        localise(score_map({(2, 2): bad}), CENTRE, THREE_CELLS, LocalisationThresholds())


def test_cells_from_the_centre():
    assert from_centre((0, 18), (19, 19)).tolist() == [-9, 9]
    assert from_centre((0, 17), (18, 18)).tolist() == [-8.5, 8.5]


def test_softmax_of_large_scores():
    softened = softmax_map(np.array([[1e4, 1e4], [0, 0]], dtype=np.float32))
    assert softened.tolist() == [[0.5, 0.5], [0, 0]]
