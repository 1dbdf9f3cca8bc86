"""The study's data: densities in closed form integrate to one, agree with the sampled pairs, and bear label noise."""

from __future__ import annotations

import math

import pytest
import torch

from experiments.regression_1d.data import DATA_SETS, axis, training_pairs, true_log_density

GRID = 1200


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("label_noise", [0.0, 0.1])
def test_densities_integrate_to_one(name: str, label_noise: float) -> None:
    log_density = true_log_density(name, GRID, label_noise)
    _, cell = axis(GRID)
    assert log_density.shape == (GRID, GRID) and log_density.dtype == torch.float64
    torch.testing.assert_close(log_density.exp().sum(1) * cell, torch.ones(GRID).double(), rtol=0, atol=2e-4)


def test_set_1_is_zero_below_the_log_normal() -> None:
    log_density = true_log_density("set1", GRID)
    values, _ = axis(GRID)
    below = (values[:, None] >= 0) & (values <= -1)
    assert (log_density[below] == -math.inf).all()
    assert log_density[~below].isfinite().all()
    assert true_log_density("set1", 64, 0.1).isfinite().all()


def test_densities_at_points_worked_out_by_hand() -> None:
    x, y = torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([[math.sin(1.0), 0.5]]).double()
    of_set1 = DATA_SETS["set1"].log_density(x, y, 0.0).exp()
    peak = 1 / (0.075 * math.sqrt(2 * math.pi))
    assert float(of_set1[0, 0]) == pytest.approx(0.2 * peak)
    log_normal = math.exp(-0.5 * (math.log(1.5) / 0.25) ** 2) / (1.5 * 0.25 * math.sqrt(2 * math.pi))
    assert float(of_set1[1, 1]) == pytest.approx(log_normal)
    sigma = 0.15 / (1 + math.exp(-1))
    assert float(DATA_SETS["set2"].log_density(x, y, 0.0)[1, 0]) == pytest.approx(
        -math.log(sigma * math.sqrt(2 * math.pi))
    )


@pytest.mark.parametrize("name", DATA_SETS)
@pytest.mark.parametrize("label_noise", [0.0, 0.15])
def test_sampled_pairs_follow_the_density(name: str, label_noise: float) -> None:
    """Their share below each of some levels of y is the density's."""
    x, y = training_pairs(name, 200_000, 3, label_noise)
    assert x.dtype == y.dtype == torch.float32
    assert -3 <= float(x.min()) < -2.99 and 2.99 < float(x.max()) <= 3
    values, cell = axis(GRID)
    density = true_log_density(name, GRID, label_noise).exp()
    for low, high in ((-3, -1.5), (-1.5, 0), (0, 1.5), (1.5, 3)):
        rows = (values >= low) & (values < high)
        inside = y[(x >= low) & (x < high)]
        cumulative = (density[rows].sum(0) * cell).cumsum(0) / rows.sum()
        for level in (-0.8, -0.2, 0.1, 0.6):
            expected = float(cumulative[values <= level][-1])
            assert float((inside <= level).float().mean()) == pytest.approx(expected, abs=0.008)


def test_label_noise_is_added_to_the_same_pairs() -> None:
    x, y = training_pairs("set1", 5000, 0)
    noisy_x, noisy_y = training_pairs("set1", 5000, 0, 0.2)
    assert torch.equal(x, noisy_x)
    assert float((noisy_y - y).std()) == pytest.approx(0.2, rel=0.05)
    assert not torch.equal(training_pairs("set1", 5000, 1)[1], y)


def test_noisy_log_normal_is_the_convolution() -> None:
    """Against a sum on a fine grid."""
    fine = torch.linspace(-0.9999, 4, 40_001, dtype=torch.float64)
    log_normal = DATA_SETS["set1"].log_density(torch.ones(1, 1).double(), fine[None], 0.0)[0].exp()
    at = torch.tensor([[-0.9, -0.3, 0.0, 0.4, 1.2]]).double()
    kernel = torch.exp(-0.5 * ((at.T - fine) / 0.05).square()) / (0.05 * math.sqrt(2 * math.pi))
    expected = (kernel * log_normal).sum(1) * (fine[1] - fine[0])
    found = DATA_SETS["set1"].log_density(torch.ones(1, 1).double(), at, 0.05)[0].exp()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-10)
