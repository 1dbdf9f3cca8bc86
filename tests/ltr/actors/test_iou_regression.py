"""IoU regression as a training method of the box head."""

from __future__ import annotations

import pytest
import torch

from ltr.actors.iou_regression import BOX_METHODS, IoURegression
from ltr.ebm.methods import METHODS, MLIS, create_method
from ltr.ops.boxes import from_relative, iou, to_relative

BOXES = torch.tensor([[10.0, 20.0, 60.0, 30.0], [100.0, 5.0, 12.0, 48.0]], dtype=torch.float64)
SIZE = BOXES[:, 2:]
ANNOTATION = to_relative(BOXES, SIZE)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def true_iou(points: torch.Tensor) -> torch.Tensor:
    """IoU [B, M] of relative points with the annotations, computed in pixels."""
    return iou(from_relative(points, SIZE.unsqueeze(1)), BOXES.unsqueeze(1))


def test_a_head_that_predicts_the_iou_in_pixels_has_no_loss():
    output = IoURegression(64).loss(lambda points: 2 * true_iou(points) - 1, ANNOTATION, generator())
    assert output.loss.shape == (2,)
    assert output.loss.abs().max() < 1e-20
    assert output.statistics["iou_error"] < 1e-10
    assert 0.1 <= output.statistics["proposal_iou"] <= 1


def test_the_error_of_a_constant_prediction():
    seen = []

    def constant(points):
        seen.append(true_iou(points))
        return torch.zeros_like(points[..., 0])

    output = IoURegression(16).loss(constant, ANNOTATION, generator())
    (overlaps,) = seen
    assert overlaps.shape == (2, 16) and (overlaps >= 0.1 - 1e-9).all()
    torch.testing.assert_close(output.loss, (2 * overlaps - 1).square().mean(1))
    torch.testing.assert_close(output.statistics["iou_error"], (overlaps - 0.5).abs().mean())


def test_training_an_affine_function_of_the_iou_finds_the_mapping_to_minus_one_and_one():
    parameters = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=50)

    def closure():
        optimiser.zero_grad()
        energy = lambda points: parameters[0] * true_iou(points) + parameters[1]  # noqa: E731
        loss = IoURegression(64).loss(energy, ANNOTATION, generator()).loss.mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    torch.testing.assert_close(parameters.detach(), torch.tensor([2.0, -1.0], dtype=torch.float64), rtol=0, atol=1e-4)


def test_it_is_created_by_name_like_the_energy_objectives():
    assert create_method("iou", BOX_METHODS, num_proposals=16) == IoURegression(num_proposals=16)
    assert isinstance(create_method("mlis", BOX_METHODS), MLIS)
    with pytest.raises(ValueError, match="did you mean 'num_proposals'"):
        create_method("iou", BOX_METHODS, num_proposal=16)
    with pytest.raises(ValueError, match="did you mean 'nceplus'"):
        create_method("ncplus", BOX_METHODS)


def test_a_method_that_a_user_registers_is_found(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", MLIS)
    assert isinstance(create_method("mine", BOX_METHODS), MLIS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_proposals": 0}, "num_proposals must be at least 1"),
        ({"proposal_sigmas": (0.1, -0.1)}, "proposal_sigmas must be positive"),
        ({"proposal_sigmas": ()}, "proposal_sigmas must be positive"),
        ({"min_iou": 1.0}, "min_iou must lie between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        IoURegression(**settings)
