"""How sure a box is: against the closed form of a quadratic energy, and on a demo clip."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from functools import partial

import numpy as np
import pytest
import torch

from ltr.ebm.ascent import gradient_ascent
from ltr.errors import UserError
from ltr.ops.boxes import to_relative
from pytracking import load_tracker
from pytracking.evaluation import get_dataset
from pytracking.many import MultiTracker
from pytracking.tracker.shared.refinement import RefinementParameters, climb, draw_jitter, propose
from pytracking.tracker.shared.uncertainty import ascent_rows, uncertainty_of

BOX = torch.tensor([100.0, 80.0, 40.0, 60.0])
SIGMA = torch.tensor([0.06, 0.08, 0.1, 0.15])
PARAMETERS = RefinementParameters(box_refinement_step_length=(5e-4, 2e-3))


def ascent(sigma=SIGMA, **changes):
    """Starts and ends [1, M, 4] of the ascent on -1/2 sum ((y - y0) / sigma)^2 in the relative space of `BOX`."""
    parameters = replace(PARAMETERS, **changes)
    jitter = draw_jitter(parameters, torch.Generator().manual_seed(0))
    unit = BOX[None, None, 2:]

    def energy(boxes):
        return -0.5 * ((to_relative(boxes, unit) - to_relative(BOX[None, None], unit)) / sigma).square().sum(-1)

    starts = propose(BOX[None], jitter[None], parameters)
    return starts, climb(partial(gradient_ascent, energy), starts, parameters)[0], parameters


def uncertainty(starts, reached, parameters, scale=1.0, refined=True):
    row = ascent_rows(starts, reached, torch.tensor([refined]), torch.tensor([scale]))[0]
    return uncertainty_of(row, tuple((BOX * scale).tolist()), parameters)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize(
    ("steps", "centre", "decay"), [(10, 5e-4, 1.0), (10, 5e-4, 0.9), (5, 1.4e-3, 0.8), (4, 2e-3, 0.5)]
)
def test_the_deviations_of_a_quadratic_energy_are_its_own(temperature, steps, centre, decay):
    changes = {"box_refinement_step_length": (centre, 4 * centre), "box_refinement_step_decay": decay}
    found = uncertainty(*ascent(uncertainty_temperature=temperature, box_refinement_iter=steps, **changes), scale=2.0)
    sigma = SIGMA * math.sqrt(temperature)
    expected = (2 * BOX[[2, 3, 2, 3]] * sigma).tolist()
    assert astuple(found)[:4] == pytest.approx(expected, rel=0.02)
    assert found.log_density == pytest.approx(float(-sigma.log().sum() - 2 * math.log(2 * math.pi)), abs=0.04)


def test_coordinates_that_lean_on_each_other_do_not_hide_their_spread():
    """A valley along the diagonal of x and width: each alone is as unsure as the valley is long."""
    long, short = 0.2, 0.02
    axes = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, -1, 0], [0, 0, 0, 1.0]])
    axes = axes / axes.norm(dim=1, keepdim=True)
    precision = axes.t() @ torch.diag(torch.tensor([long, 0.1, short, 0.1]) ** -2) @ axes
    unit = BOX[None, None, 2:]

    def energy(boxes):
        away = to_relative(boxes, unit) - to_relative(BOX[None, None], unit)
        return -0.5 * ((away @ precision) * away).sum(-1)

    starts, _, parameters = ascent(box_refinement_step_length=(2e-4, 2e-4), box_refinement_iter=20)
    found = uncertainty(starts, climb(partial(gradient_ascent, energy), starts, parameters)[0], parameters)
    assert found.cx / 40 == pytest.approx(long / math.sqrt(2), rel=0.25)
    assert found.cy / 60 == pytest.approx(0.1, rel=0.1)


def test_a_flat_energy_is_as_unsure_as_the_box_is_wide_and_nothing_is_said_of_too_little():
    starts, reached, parameters = ascent()
    flat = uncertainty(starts, starts, parameters)
    assert astuple(flat)[:4] == pytest.approx([40.0, 60.0, 40.0, 60.0], rel=1e-3)
    assert uncertainty(starts, reached * math.nan, parameters) is None
    assert uncertainty(starts, reached, parameters, refined=False) is None
    assert uncertainty(starts[:, :4], reached[:, :4], parameters) is None
    assert uncertainty(starts, reached, replace(parameters, box_refinement_iter=0)) is None
    assert uncertainty_of(np.zeros(0), (0.0, 0.0, 1.0, 1.0), parameters) is None


@pytest.fixture(scope="module")
def clip():
    return next(sequence for sequence in get_dataset("demo") if sequence.name == "mug")


def follow(clip, **parameters):
    tracker = load_tracker("dimp_nceplus_lite", device="cpu", **parameters)
    box = clip.init_info()["init_bbox"]
    return [tracker.initialize(clip.image(0), box), *(tracker.track(clip.image(i)) for i in range(1, 5))]


def test_a_clip_is_tracked_alike_and_every_found_box_has_deviations(clip):
    plain, sure, hot = (
        follow(clip, box_uncertainty=False),
        follow(clip),
        follow(clip, box_uncertainty=True, uncertainty_temperature=2.0),
    )
    assert [(r.box, r.score, r.flag) for r in plain] == [(r.box, r.score, r.flag) for r in sure]
    assert all(result.uncertainty is None for result in [*plain, sure[0]])
    for result, hotter in zip(sure[1:], hot[1:]):
        assert result.flag != "not_found"
        cx, cy, w, h, log_density = astuple(result.uncertainty)
        assert 0.005 < cx / result.box[2] < 0.5 and 0.005 < cy / result.box[3] < 0.5
        assert 0.01 < w / result.box[2] < 0.7 and 0.01 < h / result.box[3] < 0.7
        assert math.isfinite(log_density) and hotter.uncertainty.log_density < log_density


def test_each_target_of_a_batch_has_its_own(clip):
    box = clip.init_info()["init_bbox"]
    tracker = MultiTracker("dimp_nceplus_lite", device="cpu")
    same = tracker.add(clip.image(0), box)
    tracker.add(clip.image(0), (box[0] + 8, box[1], box[2], box[3]))
    both = tracker.track(clip.image(1))
    alone = follow(clip)[1].uncertainty
    assert astuple(both[same].uncertainty) == pytest.approx(astuple(alone), rel=0.02)
    assert len({result.uncertainty for result in both.values()}) == 2


@pytest.mark.parametrize("parameter", ["dimp18", "dimp_iou_lite"])
def test_a_head_trained_on_the_iou_has_none(parameter):
    with pytest.raises(UserError, match=r"needs an energy.*IoU"):
        load_tracker(parameter, box_uncertainty=True)


def test_the_temperature_is_positive_and_it_can_be_asked_for_between_frames(clip):
    with pytest.raises(UserError, match="uncertainty_temperature must lie between"):
        load_tracker("dimp_nceplus_lite", uncertainty_temperature=0.0)
    tracker = load_tracker("dimp_nceplus_lite", device="cpu", box_uncertainty=False)
    tracker.initialize(clip.image(0), clip.init_info()["init_bbox"])
    tracker.change(box_uncertainty=True)
    assert tracker.track(clip.image(1)).uncertainty is not None
    tracker.change(target_not_found_threshold=1e9)
    assert tracker.track(clip.image(2)).uncertainty is None
