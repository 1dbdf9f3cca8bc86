"""How sure a box is: against the closed form of a quadratic energy, and on a demo clip."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
import torch

from ltr.ebm.ascent import gradient_ascent
from ltr.errors import UserError
from ltr.ops.boxes import to_relative
from pytracking import load_tracker
from pytracking.evaluation import get_dataset
from pytracking.many import MultiTracker
from pytracking.tracker.shared.uncertainty import deviations, none_of, uncertainty_of

BOXES = torch.tensor([[100.0, 80.0, 40.0, 60.0], [30.0, 50.0, 90.0, 30.0]])
SIGMA = torch.tensor([0.06, 0.08, 0.1, 0.15])


def quadratic(points, **options):
    """The ascent on -1/2 sum ((y - y0) / sigma)^2 in the relative space of `BOXES`."""
    unit = BOXES[:, None, 2:]

    def energy(boxes):
        return -0.5 * ((to_relative(boxes, unit) - to_relative(BOXES[:, None], unit)) / SIGMA).square().sum(-1)

    return gradient_ascent(energy, points, **options)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_the_deviations_of_a_quadratic_energy_are_its_own(temperature):
    scale = torch.tensor([2.0, 0.5])
    found = deviations(quadratic, BOXES, scale, temperature)

    sigma = SIGMA * math.sqrt(temperature)
    width = BOXES[:, 2:] * scale[:, None]
    # Sides are log-normal.
    of_size = width * torch.sqrt(torch.exp(sigma[2:] ** 2) * torch.expm1(sigma[2:] ** 2))
    expected = torch.cat([width * sigma[:2], of_size], dim=1)
    torch.testing.assert_close(found[:, :4], expected, rtol=0.12, atol=0)
    log_density = -sigma.log().sum() - 2 * math.log(2 * math.pi)
    assert (found[:, 4] - log_density).abs().max() < 0.15


def test_a_constant_and_a_broken_energy():
    plain = deviations(quadratic, BOXES, torch.ones(2))
    raised = deviations(lambda *a, **k: (BOXES, quadratic(*a, **k)[1] + 300), BOXES, torch.ones(2))
    torch.testing.assert_close(raised, plain, rtol=1e-3, atol=1e-3)
    broken = deviations(lambda *a, **k: (BOXES, quadratic(*a, **k)[1] * math.nan), BOXES, torch.ones(2))
    assert uncertainty_of(broken[0]) is None
    assert uncertainty_of(none_of(2, True, BOXES)[0]) is None
    assert uncertainty_of(none_of(2, False, BOXES)[0]) is None


@pytest.fixture(scope="module")
def clip():
    return next(sequence for sequence in get_dataset("demo") if sequence.name == "mug")


def follow(clip, **parameters):
    tracker = load_tracker("dimp_nceplus_lite", device="cpu", **parameters)
    box = clip.init_info()["init_bbox"]
    return [tracker.initialize(clip.image(0), box), *(tracker.track(clip.image(i)) for i in range(1, 5))]


def test_a_clip_is_tracked_alike_and_every_found_box_has_deviations(clip):
    plain, sure, hot = (
        follow(clip),
        follow(clip, box_uncertainty=True),
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
    tracker = MultiTracker("dimp_nceplus_lite", device="cpu", box_uncertainty=True)
    same = tracker.add(clip.image(0), box)
    tracker.add(clip.image(0), (box[0] + 8, box[1], box[2], box[3]))
    both = tracker.track(clip.image(1))
    alone = follow(clip, box_uncertainty=True)[1].uncertainty
    assert astuple(both[same].uncertainty) == pytest.approx(astuple(alone), rel=0.02)
    assert len({result.uncertainty for result in both.values()}) == 2


@pytest.mark.parametrize("parameter", ["dimp18", "dimp_iou_lite"])
def test_a_head_trained_on_the_iou_has_none(parameter):
    with pytest.raises(UserError, match=r"needs an energy.*IoU"):
        load_tracker(parameter, box_uncertainty=True)


def test_the_temperature_is_positive_and_it_can_be_asked_for_between_frames(clip):
    with pytest.raises(UserError, match="uncertainty_temperature must be positive"):
        load_tracker("dimp_nceplus_lite", uncertainty_temperature=0.0)
    tracker = load_tracker("dimp_nceplus_lite", device="cpu")
    tracker.initialize(clip.image(0), clip.init_info()["init_bbox"])
    tracker.change(box_uncertainty=True)
    assert tracker.track(clip.image(1)).uncertainty is not None
    tracker.change(target_not_found_threshold=1e9)
    assert tracker.track(clip.image(2)).uncertainty is None
