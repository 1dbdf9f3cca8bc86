"""Proposals for IoU regression: overlap, distribution, and what happens where attempts run out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.actors.iou_regression import sample_proposals
from ltr.ops.boxes import iou

side = st.floats(1.0, 400.0)
place = st.floats(-100.0, 400.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.tuples(place, place, side, side), st.floats(0.05, 0.9), st.integers(0, 1000))
def test_every_proposal_overlaps_enough_however_long_the_box_is(box, min_iou, seed):
    boxes = torch.tensor([box])
    proposals, overlaps = sample_proposals(boxes, 40, min_iou=min_iou, generator=generator(seed))
    assert proposals.shape == (1, 40, 4) and overlaps.shape == (1, 40)
    assert (proposals[..., 2:] > 0).all()
    assert torch.equal(overlaps, iou(proposals, boxes[:, None]))
    assert (overlaps >= min_iou).all()


def test_without_rejection_the_noise_has_the_sigma_asked_for_on_centre_and_size():
    box = torch.tensor([[10.0, 20.0, 80.0, 20.0]], dtype=torch.float64)
    proposals, _ = sample_proposals(box, 40000, sigmas=(0.02,), generator=generator())
    centre_and_size = torch.cat((proposals[0, :, :2] + proposals[0, :, 2:] / 2, proposals[0, :, 2:]), dim=1)
    wanted = 0.02 * 40.0
    torch.testing.assert_close(centre_and_size.std(0), torch.full((4,), wanted, dtype=torch.float64), rtol=0.02, atol=0)
    mean = torch.tensor([50.0, 30.0, 80.0, 20.0], dtype=torch.float64)
    torch.testing.assert_close(centre_and_size.mean(0), mean, rtol=0, atol=0.02)
    correlation = torch.corrcoef(centre_and_size.T) - torch.eye(4)
    assert correlation.abs().max() < 0.03


def test_every_proposal_draws_one_of_the_sigmas():
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]], dtype=torch.float64)
    proposals, _ = sample_proposals(box, 30000, sigmas=(0.001, 0.05), generator=generator())
    distance = (proposals[0] - box).abs().amax(1)
    assert 0.45 < (distance < 0.6).double().mean() < 0.55


def test_noise_that_no_attempt_survives_is_halved_until_the_box_overlaps():
    boxes = torch.tensor([[5.0, 5.0, 50.0, 40.0]] * 3)
    _, overlaps = sample_proposals(boxes, 500, sigmas=(20.0,), min_iou=0.5, generator=generator())
    assert (overlaps >= 0.5).all()
    assert (overlaps < 0.999).float().mean() > 0.9, "the box itself is only the last resort"
    hopeless, overlaps = sample_proposals(boxes, 5, sigmas=(1e9,), min_iou=0.5, generator=generator())
    torch.testing.assert_close(hopeless, boxes[:, None].expand(-1, 5, -1))
    assert (overlaps > 0.999).all()


def test_attempts_are_independent_of_one_another():
    """With half of the attempts rejected, the kept ones are the noise's own distribution above the least overlap."""
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]], dtype=torch.float64)
    free = sample_proposals(box, 60000, sigmas=(0.3,), min_iou=1e-9, generator=generator(1))[1]
    kept = sample_proposals(box, 60000, sigmas=(0.3,), min_iou=0.5, generator=generator(2))[1]
    wanted = free[free >= 0.5].mean()
    assert float(kept.mean()) == pytest.approx(float(wanted), abs=3e-3)


def test_the_generator_decides():
    boxes = torch.rand(4, 4, generator=generator()) * 50 + 5
    first, second = (sample_proposals(boxes, 16, generator=generator(3))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, sample_proposals(boxes, 16, generator=generator(4))[0])
