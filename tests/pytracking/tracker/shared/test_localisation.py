from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.tracker.shared.answers import trail_after
from pytracking.tracker.shared.geometry import SampleFrame, TargetState
from pytracking.tracker.shared.localisation import FLAGS, LocalisationThresholds, from_centre, localise
from pytracking.tracker.shared.search import NO_TRAIL, Search

CENTRE = (0.0, 0.0)
NOWHERE = (math.nan, math.nan)
THREE_CELLS = (3 / 2.2, 3 / 2.2)


def score_map(peaks: dict[tuple[int, int], float], shape: tuple[int, int] = (19, 19)) -> torch.Tensor:
    scores = torch.zeros(shape)
    for cell, value in peaks.items():
        scores[cell] = value
    return scores


def find(scores: torch.Tensor, previous=CENTRE, cells=THREE_CELLS, expected=CENTRE, other=NOWHERE, **thresholds):
    """(flag, cell, score) of one map [H, W], which are the same of tensors and on the host."""
    given = [scores[None], *(torch.tensor([place]) for place in (previous, cells, expected, other))]
    found, here = (
        localise(*arrays, LocalisationThresholds(**thresholds)) for arrays in (given, [each.numpy() for each in given])
    )
    for name, values in vars(here).items():
        np.testing.assert_allclose(values, getattr(found, name), rtol=1e-6, err_msg=name)
    row, column = found.cell[0].tolist()
    return FLAGS[found.flag[0]], (row, column), found.score.item()


def flag_and_cell(peaks, previous=CENTRE, **thresholds):
    return find(score_map(peaks), previous, **thresholds)[:2]


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


def test_a_penalty_on_displacement_weighs_peaks_by_a_gaussian_around_the_expected_position():
    assert flag_and_cell({(9, 9): 0.7, (9, 13): 1.0}) == ("hard_negative", (9, 13))
    # The far peak is 4 cells away, the target's sides are 2 and 8 cells, and the deviation is half their mean, 2 cells.
    settings = {"cells": (2.0, 8.0), "displacement_penalty": 0.5, "displacement_sigma": 0.5}
    kept = 0.5 + 0.5 * math.exp(-(4**2) / (2 * 2**2))
    assert flag_and_cell({(9, 9): kept + 0.01, (9, 18): 1.0}, **settings)[1] == (9, 9)
    assert find(score_map({(9, 9): kept - 0.01, (13, 9): 1.0}), **settings)[1:] == ((13, 9), 1.0)
    assert flag_and_cell({(9, 9): 0.9, (13, 9): 1.0}, expected=(4.0, 0.0), **settings)[1] == (13, 9)
    # Rows and columns are not mixed up.
    assert flag_and_cell({(9, 9): 0.9, (13, 9): 1.0}, expected=(0.0, 4.0), **settings)[1] == (9, 9)
    negative = torch.full((19, 19), -1.0)
    assert find(negative, **settings)[2] == -1.0, "what is no score of a target is left as it is"


def test_whether_there_is_a_target_is_decided_by_the_score_itself():
    far = {"expected": (-9.0, 0.0), "displacement_penalty": 0.9, "distractor_penalty": 0.9, "other": (9.0, 0.0)}
    assert find(score_map({(18, 9): 0.25}), **far) == ("normal", (18, 9), 0.25)
    assert find(score_map({(18, 9): 0.24}), **far)[0] == "not_found"


def test_a_peak_where_the_last_frame_had_its_second_one_is_taken_for_that_one():
    peaks = {(9, 9): 0.6, (9, 13): 1.0}
    settings = {"distractor_penalty": 0.5, "cells": (3.0, 3.0)}
    assert flag_and_cell(peaks, **settings)[1] == (9, 13)
    assert flag_and_cell(peaks, other=(0.0, 4.0), **settings)[1] == (9, 9)
    assert flag_and_cell(peaks, other=(0.0, 2.1), **settings)[1] == (9, 9), "1.9 cells away, of 2.4"
    assert flag_and_cell(peaks, other=(0.0, 6.9), **settings)[1] == (9, 13), "2.9 cells away"
    assert flag_and_cell({(9, 9): 0.4, (9, 13): 1.0}, other=(0.0, 4.0), **settings)[1] == (9, 13), "half is left of it"
    # Nearer to where the target is expected, it is the target.
    assert flag_and_cell(peaks, other=(0.0, 2.5), expected=(0.0, 3.0), **settings)[1] == (9, 13)


def test_the_peak_that_is_not_taken_is_remembered_where_it_matters():
    def other(peaks, **thresholds):
        places = (torch.tensor([place]) for place in (CENTRE, THREE_CELLS, CENTRE, NOWHERE))
        found = localise(score_map(peaks)[None], *places, LocalisationThresholds(**thresholds))
        return found.other[0].tolist()

    assert other({(9, 9): 1.0, (3, 4): 0.31}) == [3, 4]
    assert all(map(math.isnan, other({(9, 9): 1.0, (3, 4): 0.29})))
    assert other({(0, 0): 1.0, (9, 9): 0.9}) == [0, 0], "the second peak is taken"


def test_displacement_counts_from_the_previous_position():
    peaks = {(9, 9): 0.9, (0, 0): 1.0}
    assert flag_and_cell(peaks, previous=(-9.0, -9.0)) == ("hard_negative", (0, 0))


def test_the_score_is_that_of_the_highest_peak_even_if_the_second_is_taken():
    scores = score_map({(0, 0): 1.0, (9, 9): 0.9})
    assert find(scores) == ("hard_negative", (9, 9), 1.0)


@pytest.mark.parametrize(
    ("neighbour", "flag"),
    [((8, 8), "normal"), ((10, 10), "normal"), ((7, 9), "uncertain"), ((11, 9), "uncertain"), ((9, 11), "uncertain")],
)
def test_neighbourhood_is_not_searched_for_a_second_peak(neighbour, flag):
    # Rows round(9 - 1.5) = 8 up to round(9 + 2.5) = 12 exclusive would hold row 11: Python rounds 11.5 to 12, half
    # to even; with a side of 2.9 cells the neighbourhood is 8..10.
    side = (2.9 / 2.2, 2.9 / 2.2)
    assert find(score_map({(9, 9): 1.0, neighbour: 0.95}), cells=side)[0] == flag


def test_neighbourhood_is_rounded_half_to_even():
    side = (3.0, 3.0)
    inside = score_map({(9, 9): 1.0, (11, 9): 0.95})
    assert find(inside, cells=side, target_neighborhood_scale=1.0)[0] == "normal"
    above = score_map({(9, 9): 1.0, (7, 9): 0.95})
    assert find(above, cells=side, target_neighborhood_scale=1.0)[0] == "uncertain"


def test_neighbourhood_at_the_maps_border():
    scores = score_map({(0, 18): 1.0, (1, 17): 0.95})
    assert find(scores)[0] == "normal"
    assert find(scores, cells=(100.0, 100.0))[0] == "normal"


@given(values=st.lists(st.floats(-1, 2, width=32), min_size=25, max_size=25))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_the_score_is_the_maximum_and_the_map_is_left_alone(values):
    scores = torch.tensor(values).reshape(5, 5)
    before = scores.clone()
    flag, _, score = find(scores)
    assert score == scores.max()
    assert (flag == "not_found") == (score < 0.25)
    assert torch.equal(scores, before)


def test_thresholds_are_compared_as_they_are_written():
    # 0.04 as float32 lies below 0.04: a peak of that value is not found.
    assert find(score_map({(9, 9): 0.04}), target_not_found_threshold=0.04)[0] == "not_found"
    assert find(score_map({(9, 9): 0.3}), target_not_found_threshold=0.3)[0] == "normal"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_told_and_found_nowhere(bad):
    scores = torch.stack([score_map({(2, 2): bad}), score_map({(2, 2): 1.0})])
    found = localise(scores, *(torch.ones(2, 2) for _ in range(4)), LocalisationThresholds())
    assert found.finite.tolist() == [False, True] and found.found.tolist() == [False, True]


def test_many_maps_at_once_are_found_as_one_by_one():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(200, 19, 18, generator=generator) ** 100
    previous = torch.rand(200, 2, generator=generator) * 18 - 9
    cells = torch.rand(200, 2, generator=generator) * 5 + 0.5
    expected, other = (previous + torch.randn(200, 2, generator=generator) for _ in range(2))
    penalties = {"displacement_penalty": 0.4, "distractor_penalty": 0.5}
    found = localise(scores, previous, cells, expected, other, LocalisationThresholds(**penalties))
    assert set(found.flag.tolist()) >= {0, 1, 2}
    for number in range(len(scores)):
        places = (each[number].tolist() for each in (previous, cells, expected, other))
        alone = find(scores[number], *places, **penalties)
        together = (FLAGS[found.flag[number]], tuple(found.cell[number].tolist()), found.score[number].item())
        assert alone == together


def test_cells_from_the_centre():
    cells = torch.tensor([[0.0, 18.0], [0.0, 17.0]])
    assert from_centre(cells, 19, 19).tolist() == [[-9, 9], [-9, 8]]
    assert from_centre(cells[1:], 18, 18).tolist() == [[-8.5, 8.5]]


def test_the_next_frame_expects_the_last_step_again_and_the_second_peak_where_it_was():
    def target(y, x):
        return TargetState(*(np.array(each, np.float32) for each in ([[y, x]], [[20, 40]], [2])))

    def search(state, trail):
        frame = SampleFrame(np.array([[100, 200]], np.float32), np.array([2], np.float32), 128)
        # A cell is 16 sample pixels, 32 of the image.
        ones = np.ones((1, 2), np.float32)
        return Search(state, frame, ones, ones, ones, trail, np.zeros((1, 0, 4), np.float32), 9, 8)

    peaks = score_map({(4, 4): 1.0, (4, 6): 0.9}, (9, 9))[None].numpy()
    begin = search(target(90.0, 190.0), NO_TRAIL)
    found = localise(peaks, *begin.in_cells(0.8), LocalisationThresholds())
    trail = trail_after(found, begin, target(95.0, 200.0))
    assert trail.tolist() == [[5, 10, 100, 200 + 2 * 32]]
    here, size, expected, other = search(target(95.0, 200.0), trail).in_cells(0.8)
    assert (32 * here).tolist() == [[-5, 0]] and (32 * size).tolist() == [[20, 40]]
    assert (32 * expected).tolist() == [[-1, 8]] and (32 * other).tolist() == [[0, 64]]
    lost = localise(peaks / 10, *begin.in_cells(0.8), LocalisationThresholds())
    assert trail_after(lost, search(target(95.0, 200.0), trail), target(0.0, 0.0)).tolist() == trail.tolist()
