"""Densities of energies: closed forms of a Gaussian, on a grid and by importance sampling; no overflow."""

from __future__ import annotations

import math

import pytest
import torch

from ltr.ebm.density import effective_sample_size, grid_entropy, grid_kl_divergence, grid_log_density, moments
from ltr.ebm.noise import GaussianMixture

CELL = 0.01
GRID = torch.arange(-8, 8, CELL, dtype=torch.float64) + CELL / 2


def gaussian_scores(mean: float, sigma: float) -> torch.Tensor:
    return -0.5 * ((GRID - mean) / sigma).square()


def test_grid_density_of_a_gaussian_energy() -> None:
    log_density = grid_log_density(gaussian_scores(0.5, 0.7) + 1e4, CELL)
    expected = gaussian_scores(0.5, 0.7) - math.log(0.7 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(log_density, expected, rtol=1e-9, atol=1e-9)
    assert float(log_density.exp().sum() * CELL) == pytest.approx(1)


def test_grids_of_two_dimensions() -> None:
    scores = torch.randn(4, 20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1e4
    log_density = grid_log_density(scores, 0.25, dims=2)
    assert log_density.shape == scores.shape
    torch.testing.assert_close((log_density.exp() * 0.25).sum((1, 2)), torch.ones(4, dtype=torch.float64))


def test_divergence_and_entropy_of_gaussians() -> None:
    log_p = grid_log_density(gaussian_scores(0.0, 0.5), CELL)
    log_q = grid_log_density(gaussian_scores(1.0, 0.8), CELL)
    expected = math.log(0.8 / 0.5) + (0.5**2 + 1) / (2 * 0.8**2) - 0.5
    assert float(grid_kl_divergence(log_p, log_q, CELL)) == pytest.approx(expected, rel=1e-9)
    assert float(grid_kl_divergence(log_p, log_p, CELL)) == 0
    assert float(grid_entropy(log_p, CELL)) == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 0.25), rel=1e-9)


def test_cells_without_target_count_nothing() -> None:
    log_target = torch.tensor([[-math.inf, math.log(2.0)]], dtype=torch.float64)
    log_model = torch.tensor([[-math.inf, 0.0]], dtype=torch.float64)
    assert float(grid_kl_divergence(log_target, log_model, 0.5)) == pytest.approx(math.log(2))
    assert float(grid_entropy(log_target, 0.5)) == pytest.approx(-math.log(2))


def test_moments_on_a_grid() -> None:
    mean, covariance = moments(GRID[:, None], gaussian_scores(-1.0, 0.6))
    assert float(mean) == pytest.approx(-1)
    assert float(covariance) == pytest.approx(0.36)


def test_moments_by_importance_sampling() -> None:
    """f is a correlated Gaussian; the noise is broad."""
    truth = torch.tensor([[0.04, 0.03], [0.03, 0.09]], dtype=torch.float64)
    centre = torch.tensor([0.1, -0.2], dtype=torch.float64)
    noise = GaussianMixture(torch.tensor([[0.3, 0.3], [0.6, 0.6]], dtype=torch.float64))
    points = noise.sample((2, 200_000), torch.Generator().manual_seed(0))
    offset = points - centre
    scores = -0.5 * ((offset @ truth.inverse()) * offset).sum(-1)
    mean, covariance = moments(points, scores - noise.log_prob(points))
    assert mean.shape == (2, 2) and covariance.shape == (2, 2, 2)
    torch.testing.assert_close(mean, centre.expand(2, 2), rtol=0, atol=3e-3)
    torch.testing.assert_close(covariance, truth.expand(2, 2, 2), rtol=0, atol=2e-3)


def test_effective_sample_size() -> None:
    weights = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.float64)
    assert effective_sample_size(weights.log() + 1e4).tolist() == pytest.approx([4, 1, 2])
