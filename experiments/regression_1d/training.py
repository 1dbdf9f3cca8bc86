"""Train all models of a unit at once, as one stack of weights, and their KL divergence from the true density.

Source of the divergence: docs/reference.md, section 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from experiments.regression_1d import network
from experiments.regression_1d.data import axis, training_pairs
from experiments.regression_1d.network import Score
from experiments.regression_1d.settings import METHODS, RegressionSettings, RegressionUnit, make_method
from ltr.ebm.density import grid_kl_divergence, grid_log_density

# A model's seed gives three independent streams: of its initial weights, its order of the data, its noise.
_ORDER, _NOISE = 1_000_003, 2_000_003
# Rows of the grid that are scored at a time.
_ROWS = 256


def _generators(settings: RegressionSettings, offset: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + offset) for seed in settings.seeds]


def initial_stack(settings: RegressionSettings) -> Tensor:
    """The models' initial weights [K, P], each from its own seed."""
    return torch.stack([network.initial_weights(generator) for generator in _generators(settings, 0)])


def batches(settings: RegressionSettings) -> Iterator[Tensor]:
    """Indices [K, B] of every step's pairs: each model goes through the data in an order of its own."""
    generators = _generators(settings, _ORDER)
    for _ in range(settings.epochs):
        order = torch.stack([torch.randperm(settings.train_size, generator=each) for each in generators])
        yield from order.split(settings.batch_size, dim=1)


def losses(
    unit: RegressionUnit, weights: Tensor, x: Tensor, y: Tensor, generators: list[torch.Generator], score: Score
) -> Tensor:
    """Every model's mean loss [K] over its own batch, by the method that the trackers use.

    Args:
        weights: [K, P].
        x, y: [K, B].
        generators: K, of the models' noise.
        score: `network.score`, or the compiled one.
    """
    method = make_method(unit.method, unit.dataset, unit.settings)
    bases, rows = network.x_half(weights, x).unbind(), network.y_half(weights).unbind()
    found = [
        method.loss(partial(_energy, score, base, row), annotation, generator).loss.mean()
        for base, row, annotation, generator in zip(bases, rows, y.unsqueeze(-1), generators)
    ]
    return torch.stack(found)


def _energy(score: Score, base: Tensor, row: Tensor, points: Tensor) -> Tensor:
    """f [B, M] of points [B, M, 1], as `ltr.ebm` asks for it."""
    return score(base, points.squeeze(-1), row)


def train(unit: RegressionUnit, score: Score) -> Tensor:
    """The trained weights [K, P] of a unit.

    A model whose loss stops being finite stays so and does not touch the others.

    Args:
        score: the compiled score or `network.score`; SM, which needs third derivatives, always takes the latter.
    """
    settings = unit.settings
    score = network.score if METHODS[unit.method].objective == "sm" else score
    x, y = training_pairs(unit.dataset, settings.train_size, settings.data_seed, settings.label_noise)
    weights = initial_stack(settings).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=settings.learning_rate)
    noise = _generators(settings, _NOISE)
    for chosen in batches(settings):
        optimiser.zero_grad()
        losses(unit, weights, x[chosen], y[chosen], noise, score).sum().backward()
        optimiser.step()
    return weights.detach()


@torch.no_grad()
def model_log_density(row: Tensor, cells: int, score: Score) -> Tensor:
    """log p(y | x) [cells (x), cells (y)] of float64 of one model, normalised on the grid.

    Args:
        row: [P], its weights.
        cells: points a side of the grid.
    """
    values, cell = axis(cells)
    points = values.float()
    base = network.x_half(row.unsqueeze(0), points.unsqueeze(0))[0]
    parts = [
        score(part, points.expand(len(part), -1), network.y_half(row.unsqueeze(0))[0]) for part in base.split(_ROWS)
    ]
    return grid_log_density(torch.cat(parts).double(), cell)


def kl_divergence(log_true: Tensor, log_model: Tensor) -> float:
    """KL(p_true || p_model) of every x, and its mean over x.

    Args:
        log_true, log_model: [cells (x), cells (y)]; -inf in `log_true` counts nothing (0 log 0 = 0).
    """
    _, cell = axis(log_true.shape[-1])
    return float(grid_kl_divergence(log_true, log_model, cell).mean())


def divergences(weights: Tensor, log_true: Tensor, score: Score) -> list[float]:
    """The divergence of every model [K, P] from `log_true` [cells, cells]; NaN for one that is not finite."""
    cells = log_true.shape[-1]
    return [
        kl_divergence(log_true, model_log_density(row, cells, score)) if row.isfinite().all() else float("nan")
        for row in weights
    ]
