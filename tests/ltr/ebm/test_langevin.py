"""Langevin chains: stationary moments of a Gaussian energy, one step by hand, no side effects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ltr.ebm.ascent import langevin


def test_one_step_by_hand() -> None:
    start = torch.tensor([[[1.0, 2.0]], [[0.0, -1.0]]])
    noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(4))
    moved = langevin(
        lambda y: -y.square().sum(-1), start, steps=1, step_length=0.1, generator=torch.Generator().manual_seed(4)
    )
    torch.testing.assert_close(moved, start - 0.005 * 2 * start + 0.1 * noise)


def test_step_length_per_dimension() -> None:
    step = torch.tensor([0.3, 0.0])
    moved = langevin(lambda y: y.sum(-1), torch.zeros(1, 50, 2), steps=3, step_length=step)
    assert (moved[..., 0] != 0).all() and (moved[..., 1] == 0).all()


def test_chains_reach_the_gaussian_of_the_energy() -> None:
    """The unadjusted chain of a Gaussian is an AR(1) process with variance s^2 / (1 - a^2 / (4 s^2))."""
    s, a = 0.5, 0.3
    points = langevin(
        lambda y: -0.5 * (y - 2).square().sum(-1) / s**2,
        torch.zeros(1, 40_000, 1),
        steps=60,
        step_length=a,
        generator=torch.Generator().manual_seed(0),
    )
    assert float(points.mean()) == pytest.approx(2, abs=0.02)
    assert float(points.var()) == pytest.approx(s**2 / (1 - a**2 / (4 * s**2)), rel=0.03)


def test_leaves_no_gradient_and_works_without_grad_mode() -> None:
    energy = nn.Linear(3, 1)

    def score(points: Tensor) -> Tensor:
        return energy(points).squeeze(-1)

    with torch.no_grad():
        moved = langevin(score, torch.zeros(2, 5, 3), steps=2, step_length=0.1)
    assert moved.shape == (2, 5, 3) and not moved.requires_grad
    assert all(parameter.grad is None for parameter in energy.parameters())


def test_number_of_steps() -> None:
    start = torch.ones(1, 2, 3)
    assert torch.equal(langevin(lambda y: y.sum(-1), start, steps=0, step_length=0.1), start)
    with pytest.raises(ValueError, match="negative"):
        langevin(lambda y: y.sum(-1), start, steps=-1, step_length=0.1)
