from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.ebm.ascent import gradient_ascent
from pytracking.tracker.shared.refinement import RefinementParameters, best_mean, draw_jitter, propose, refine

BOX = torch.tensor([100.0, 80.0, 40.0, 90.0])


def pull_to(target: torch.Tensor, sharpness: float = 1.0):
    """The ascent of an energy that peaks at `target`, in units of its size."""

    def energy(boxes: torch.Tensor) -> torch.Tensor:
        centre = (boxes[..., :2] + boxes[..., 2:] / 2 - target[:2] - target[2:] / 2) / target[2:]
        size = torch.log(boxes[..., 2:] / target[2:])
        return -sharpness * (centre.square().sum(-1) + size.square().sum(-1))

    return partial(gradient_ascent, energy)


def proposals(box: torch.Tensor, parameters: RefinementParameters, generator=None) -> torch.Tensor:
    """Starts [M, 4] of one box [4], the same of tensors and on the host."""
    given = box[None], draw_jitter(parameters, generator)[None]
    starts: torch.Tensor = propose(*given, parameters)
    np.testing.assert_array_equal(propose(*(each.numpy() for each in given), parameters), starts)
    return starts[0]


def refined_from(ascend, starts: torch.Tensor, parameters: RefinementParameters) -> torch.Tensor:
    """The refined box [4] of one image's starts [M, 4]."""
    boxes, fair = refine(ascend, starts[None], parameters)
    assert fair.tolist() == [True]
    return boxes[0]


def mean_of_best(boxes: torch.Tensor, scores: torch.Tensor, **changes) -> list[float]:
    """The mean of one image's boxes [M, 4], the same of tensors and on the host."""
    means, fair = best_mean(boxes[None], scores[None], RefinementParameters(**changes))
    here, fair_here = best_mean(boxes[None].numpy(), scores[None].numpy(), RefinementParameters(**changes))
    np.testing.assert_array_equal(here, means)
    assert fair.tolist() == fair_here.tolist() == [True]
    return means[0].tolist()


def test_the_first_start_is_the_box_itself():
    starts = proposals(BOX, RefinementParameters())
    assert starts.shape == (10, 4)
    assert torch.equal(starts[0], BOX)
    assert torch.equal(proposals(BOX, RefinementParameters(num_init_random_boxes=0)), BOX[None])


def test_jitter_is_the_specs_formula():
    torch.manual_seed(4)
    starts = proposals(BOX, RefinementParameters(box_jitter_sz=0.5, box_jitter_pos=0.1))
    torch.manual_seed(4)
    draws = torch.rand(9, 4) - 0.5
    side = 60.0
    for start, draw in zip(starts[1:].tolist(), draws.tolist()):
        width, height = 40 + draw[2] * side * 0.5, 90 + draw[3] * side * 0.5
        assert start[2:] == pytest.approx([width, height], rel=1e-5)
        assert start[0] == pytest.approx(120 + draw[0] * side * 0.1 - width / 2, abs=1e-3)
        assert start[1] == pytest.approx(125 + draw[1] * side * 0.1 - height / 2, abs=1e-3)


@given(width=st.floats(1, 300), height=st.floats(1, 300), seed=st.integers(0, 100))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_no_start_is_smaller_than_a_third_of_the_shorter_side(width, height, seed):
    generator = torch.Generator().manual_seed(seed)
    box = torch.tensor([10.0, 10.0, width, height])
    starts = proposals(box, RefinementParameters(box_jitter_sz=3.0), generator)
    assert (starts[:, 2:] >= box[2:].min() / 3 - 1e-4).all()


def test_refinement_climbs_to_the_peak_in_relative_space():
    target = torch.tensor([110.0, 75.0, 50.0, 80.0])
    parameters = RefinementParameters(box_refinement_iter=200, box_refinement_step_length=0.05)
    refined = refined_from(pull_to(target), proposals(BOX, parameters), parameters)
    torch.testing.assert_close(refined, target, atol=0.05, rtol=0)


def test_refinement_climbs_in_absolute_space():
    target = torch.tensor([104.0, 82.0, 42.0, 88.0])
    parameters = RefinementParameters(
        box_refinement_space="absolute",
        box_refinement_iter=300,
        box_refinement_step_length=0.3,
        num_init_random_boxes=0,
    )
    refined = refined_from(pull_to(target), proposals(BOX, parameters), parameters)
    torch.testing.assert_close(refined, target, atol=1, rtol=0)


def test_one_absolute_step_is_step_times_gradient_times_size():
    weights = torch.tensor([0.1, -0.2, 0.05, 0.02])
    parameters = RefinementParameters(
        box_refinement_space="absolute", box_refinement_iter=1, box_refinement_step_length=0.5, num_init_random_boxes=0
    )
    refined = refined_from(partial(gradient_ascent, lambda boxes: (boxes * weights).sum(-1)), BOX[None], parameters)
    expected = BOX + 0.5 * weights * torch.tensor([40.0, 90.0, 40.0, 90.0])
    torch.testing.assert_close(refined, expected)


def test_centre_and_size_may_have_their_own_steps():
    parameters = RefinementParameters(
        box_refinement_iter=1, box_refinement_step_length=(0.01, 0.0), num_init_random_boxes=0
    )
    refined = refined_from(pull_to(torch.tensor([90.0, 80.0, 60.0, 90.0]), 5.0), BOX[None], parameters)
    torch.testing.assert_close(refined[2:], BOX[2:])


def test_the_best_are_averaged():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 2, 20, 20], [50, 50, 10, 10], [4, 4, 30, 30]])
    mean = mean_of_best(boxes, torch.tensor([0.1, 0.9, -3.0, 0.5]), iounet_k=3)
    assert mean == [2, 2, 20, 20]


def test_fewer_boxes_than_k_are_all_averaged():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 2, 20, 20]])
    assert mean_of_best(boxes, torch.zeros(2), iounet_k=3) == [1, 1, 15, 15]


def test_sides_count_as_at_least_a_pixel():
    boxes = torch.tensor([[5.0, 5.0, 0.2, -4.0]])
    assert mean_of_best(boxes, torch.zeros(1)) == [5, 5, 1, 1]


def test_boxes_beyond_the_aspect_limit_are_dropped_whatever_their_score():
    boxes = torch.tensor([[0.0, 0, 61, 10], [0, 0, 10, 61], [0, 0, 59, 10], [0, 0, 10, 59]])
    mean = mean_of_best(boxes, torch.tensor([9.0, 9.0, 0.0, 0.0]), maximal_aspect_ratio=6)
    assert mean == [0, 0, 34.5, 34.5]


def test_a_side_below_a_pixel_is_clamped_before_its_aspect_is_judged():
    boxes = torch.tensor([[0.0, 0, 0.5, 5.5]])
    assert mean_of_best(boxes, torch.zeros(1)) == [0, 0, 1, 5.5]


def test_no_box_left():
    boxes = torch.tensor([[0.0, 0, 100, 10], [0, 0, 10, 100]])
    assert best_mean(boxes[None], torch.zeros(1, 2), RefinementParameters())[1].tolist() == [False]


def test_fewer_fair_boxes_than_k_are_averaged_without_the_others():
    boxes = torch.tensor([[0.0, 0, 100, 10], [2, 2, 20, 20], [4, 4, 30, 30]])
    assert mean_of_best(boxes, torch.tensor([9.0, 1.0, 2.0]), iounet_k=3) == [3, 3, 25, 25]


def test_many_images_are_refined_as_one_by_one():
    parameters = RefinementParameters(box_refinement_iter=5, box_refinement_step_length=0.05, maximal_aspect_ratio=2)
    starts = torch.stack([proposals(BOX * scale, parameters) for scale in (1.0, 0.5, 2.0)])
    boxes, fair = refine(pull_to(BOX), starts, parameters)
    for number, start in enumerate(starts):
        alone, alone_fair = refine(pull_to(BOX), start[None], parameters)
        assert alone_fair[0] == fair[number]
        torch.testing.assert_close(boxes[number], alone[0])
