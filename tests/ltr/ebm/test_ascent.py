"""Gradient ascent: one step by hand, convergence on a known energy, step control, no side effects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ltr.ebm.ascent import gradient_ascent
from ltr.ops.boxes import from_relative, to_relative

TARGET = torch.tensor([40.0, 30.0, 20.0, 50.0], dtype=torch.float64)


def quadratic(boxes: Tensor) -> Tensor:
    """Greatest, zero, at TARGET; a paraboloid in the relative space of TARGET."""
    offset = to_relative(boxes, TARGET[2:]) - to_relative(TARGET, TARGET[2:])
    return -offset.square().sum(-1)


def starts() -> Tensor:
    shifts = torch.tensor([[0.0, 0, 0, 0], [3, -2, 4, 5], [-5, 4, -3, -9]], dtype=torch.float64)
    return (TARGET + shifts)[None]


def test_one_absolute_step_by_hand() -> None:
    weights = torch.tensor([1.0, -2.0, 3.0, 4.0])
    boxes = torch.tensor([[[1.0, 2, 10, 20], [0, 0, 5, 6]]])
    moved, scores = gradient_ascent(
        lambda b: (b * weights).sum(-1), boxes, space="absolute", steps=1, step_length=(0.5, 0.25)
    )
    expected = [[1 + 0.5 * 10, 2 - 0.5 * 2 * 20, 10 + 0.25 * 3 * 10, 20 + 0.25 * 4 * 20]]
    assert moved[0, :1].tolist() == expected
    assert scores.tolist() == (boxes * weights).sum(-1).tolist()


def test_one_relative_step_by_hand() -> None:
    boxes = torch.tensor([[[10.0, 20, 4, 8], [5, 5, 2, 2]]], dtype=torch.float64)
    unit = boxes[:, :1, 2:]

    def energy(b: Tensor) -> Tensor:
        return (to_relative(b, unit) * b.new_tensor([1, 2, 3, 4])).sum(-1)

    moved, _ = gradient_ascent(energy, boxes, steps=1, step_length=(0.1, 0.2))
    expected = to_relative(boxes, unit) + boxes.new_tensor([0.1, 0.2, 0.6, 0.8])
    torch.testing.assert_close(to_relative(moved, unit), expected)
    torch.testing.assert_close(moved, from_relative(expected, unit))


def test_unit_of_the_centre_is_the_first_box_or_what_is_given() -> None:
    def gradient_in_x(b: Tensor) -> Tensor:
        return b[..., 0] + b[..., 2] / 2

    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 10, 10]]])
    own, _ = gradient_ascent(gradient_in_x, boxes, steps=1, step_length=(1.0, 0.0))
    # d/d(cx/sw) = sw, and a step of it in units of sw moves by sw^2.
    assert own[0, :, 0].tolist() == pytest.approx([16, 16])
    given, _ = gradient_ascent(
        gradient_in_x, boxes, steps=1, step_length=(1.0, 0.0), normalise_size=torch.tensor([[2.0, 2.0]])
    )
    assert given[0, :, 0].tolist() == pytest.approx([4, 4])


@pytest.mark.parametrize("space", ["relative", "absolute"])
@pytest.mark.parametrize("control", [False, True])
def test_reaches_the_maximum(space: str, control: bool) -> None:
    step = 0.2 if space == "relative" else 4.0
    moved, scores = gradient_ascent(
        quadratic, starts(), space=space, steps=150, step_length=step, per_box_step_control=control
    )
    torch.testing.assert_close(moved[0], TARGET.expand(3, 4), rtol=0, atol=1e-3)
    assert scores.abs().max() < 1e-6


def test_scores_are_those_before_the_last_step() -> None:
    one_less, _ = gradient_ascent(quadratic, starts(), steps=3, step_length=0.1)
    last, scores = gradient_ascent(quadratic, starts(), steps=4, step_length=0.1)
    torch.testing.assert_close(scores, quadratic(one_less))
    assert (quadratic(last)[0, 1:] > scores[0, 1:]).all()


def test_steps_decay() -> None:
    twice, _ = gradient_ascent(lambda b: b.sum(-1), starts(), space="absolute", steps=2, step_length=0.1, decay=0.5)
    one, _ = gradient_ascent(lambda b: b.sum(-1), starts(), space="absolute", steps=1, step_length=0.1)
    two, _ = gradient_ascent(lambda b: b.sum(-1), one, space="absolute", steps=1, step_length=0.05)
    torch.testing.assert_close(twice, two)


def test_zero_steps_score_the_starts() -> None:
    for control in (False, True):
        boxes, scores = gradient_ascent(
            quadratic, starts(), space="absolute", steps=0, step_length=1.0, per_box_step_control=control
        )
        assert torch.equal(boxes, starts())
        assert torch.equal(scores, quadratic(starts()))


def test_step_control_tames_a_step_that_is_too_long() -> None:
    wild, _ = gradient_ascent(quadratic, starts(), steps=10, step_length=5.0)
    assert not wild.isfinite().all() or (quadratic(wild)[0, 1:] < quadratic(starts())[0, 1:]).all()
    tame, scores = gradient_ascent(quadratic, starts(), steps=30, step_length=5.0, per_box_step_control=True)
    assert (scores >= quadratic(starts())).all()
    torch.testing.assert_close(scores, quadratic(tame), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(tame[0], TARGET.expand(3, 4), rtol=0, atol=1e-2)


def test_step_control_acts_per_box() -> None:
    """The first box has a curvature 100 times the second's: only its steps are halved."""
    curvature = torch.tensor([100.0, 1.0])
    peak = torch.tensor([10.0, 10.0, 4.0, 4.0])

    def energy(b: Tensor) -> Tensor:
        return -curvature * (b[..., 0] - peak[0]).square()

    boxes = (peak + torch.tensor([1.0, 0, 0, 0])).expand(1, 2, 4)
    settings = {"space": "absolute", "steps": 1, "step_length": 0.05, "per_box_step_control": True}
    moved, _ = gradient_ascent(energy, boxes, **settings)  # type: ignore[arg-type]
    assert moved[0, 0].tolist() == boxes[0, 0].tolist()
    assert moved[0, 1, 0] == pytest.approx(11 - 0.05 * 2 * 4)
    moved, scores = gradient_ascent(energy, boxes, **{**settings, "steps": 40})  # type: ignore[arg-type]
    assert moved[0, :, 0].tolist() == pytest.approx([10, 10], abs=1e-3)
    torch.testing.assert_close(scores, energy(moved))


def test_a_box_never_moves_to_a_nan() -> None:
    def energy(b: Tensor) -> Tensor:
        return torch.where(b[..., 0] > 41, torch.nan, b[..., 0])

    moved, scores = gradient_ascent(
        energy, starts(), space="absolute", steps=5, step_length=1.0, per_box_step_control=True
    )
    assert scores[0, [0, 2]].isfinite().all()
    assert (moved[0, [0, 2], 0] <= 41).all()


def test_works_without_grad_mode_and_leaves_parameters_alone() -> None:
    head = nn.Linear(4, 1).double()
    with torch.no_grad():
        moved, scores = gradient_ascent(lambda b: head(b).squeeze(-1), starts(), steps=2, step_length=0.01)
    assert not moved.requires_grad and not scores.requires_grad
    assert all(parameter.grad is None for parameter in head.parameters())
    assert (moved != starts()).any()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'relative' or 'absolute', not 'log'"):
        gradient_ascent(quadratic, starts(), space="log", steps=1, step_length=1.0)
    with pytest.raises(ValueError, match="negative"):
        gradient_ascent(quadratic, starts(), steps=-1, step_length=1.0)
    with pytest.raises(ValueError, match=r"\[B, M, 4\], not \[3, 4\]"):
        gradient_ascent(quadratic, starts()[0], steps=1, step_length=1.0)
