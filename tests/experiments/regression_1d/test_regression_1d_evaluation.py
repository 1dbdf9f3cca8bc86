"""The divergence on the grid: closed forms of Gaussians, the error of the grid, zero densities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from experiments.regression_1d import network
from experiments.regression_1d.data import axis, true_log_density
from experiments.regression_1d.training import divergences, kl_divergence, model_log_density
from ltr.ebm.density import grid_log_density

SHIFT, STRETCH = 0.03, 1.4


def shifted_gaussian(cells: int) -> tuple[Tensor, float]:
    """Set 2's density with its mean moved and its width stretched, and KL(set 2 || it) in closed form, mean over x."""
    values, cell = axis(cells)
    sigma = 0.15 * torch.sigmoid(values)
    scores = -0.5 * ((values - values.sin()[:, None] - SHIFT) / (STRETCH * sigma)[:, None]).square() + 17
    variance = (STRETCH * sigma).square()
    exact = math.log(STRETCH) + (sigma.square() + SHIFT**2) / (2 * variance) - 0.5
    return grid_log_density(scores, cell), float(exact.mean())


def test_the_studys_grid_is_fine_enough() -> None:
    """The narrowest density is 2.4 cells wide there; on a grid 8 times as coarse, the error would be seen."""
    log_model, exact = shifted_gaussian(2048)
    assert kl_divergence(true_log_density("set2", 2048), log_model) == pytest.approx(exact, rel=1e-6)
    log_model, exact = shifted_gaussian(256)
    assert abs(kl_divergence(true_log_density("set2", 256), log_model) / exact - 1) > 1e-3


def test_the_truth_itself_has_no_divergence() -> None:
    for name in ("set1", "set2"):
        truth = true_log_density(name, 1024)
        assert kl_divergence(truth, truth) == 0


def test_where_the_truth_is_zero_the_model_costs_nothing_but_its_mass() -> None:
    """Set 1 at x >= 0 against the uniform density on [-3, 3]: KL is log 6 minus the log-normal's entropy."""
    cells = 2048
    truth = true_log_density("set1", cells)
    values, _ = axis(cells)
    rows = values >= 0
    uniform = torch.full((int(rows.sum()), cells), -math.log(6.0), dtype=torch.float64)
    entropy = math.log(0.25 * math.sqrt(2 * math.pi * math.e))
    assert kl_divergence(truth[rows], uniform) == pytest.approx(math.log(6) - entropy, abs=2e-4)


def test_density_of_a_network() -> None:
    """Rows follow x, columns y; normalised; as large scores as any."""
    row = network.initial_weights(torch.Generator().manual_seed(0)) * 3
    values, cell = axis(300)
    log_density = model_log_density(row, 300, network.score)
    torch.testing.assert_close(log_density.exp().sum(1) * cell, torch.ones(300).double())
    x, y = values[[40]].float(), values[[250, 20]].float()
    base = network.x_half(row[None], x[None])[0]
    first, second = network.score(base, y[None], network.y_half(row[None])[0])[0].tolist()
    assert float(log_density[40, 250] - log_density[40, 20]) == pytest.approx(first - second, abs=1e-5)


def test_a_diverged_model_is_nan_and_the_others_are_not() -> None:
    rows = torch.stack([network.initial_weights(torch.Generator().manual_seed(seed)) for seed in range(3)])
    rows[1, 5] = math.nan
    first, second, third = divergences(rows, true_log_density("set1", 64), network.score)
    assert math.isnan(second) and first > 0 and third > 0
