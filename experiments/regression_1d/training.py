"""Train all models of a unit at once: one stack of weights, one optimiser step for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from experiments.regression_1d import network
from experiments.regression_1d.data import training_pairs
from experiments.regression_1d.network import Score
from experiments.regression_1d.settings import METHODS, Settings, Unit, make_method

# A model's seed gives three independent streams: of its initial weights, its order of the data, its noise.
_ORDER, _NOISE = 1_000_003, 2_000_003


def _generators(settings: Settings, offset: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + offset) for seed in settings.seeds]


def initial_stack(settings: Settings) -> Tensor:
    """The models' initial weights [K, P], each from its own seed."""
    return torch.stack([network.initial_weights(generator) for generator in _generators(settings, 0)])


def batches(settings: Settings) -> Iterator[Tensor]:
    """Indices [K, B] of every step's pairs: each model goes through the data in an order of its own."""
    generators = _generators(settings, _ORDER)
    for _ in range(settings.epochs):
        order = torch.stack([torch.randperm(settings.train_size, generator=each) for each in generators])
        yield from order.split(settings.batch_size, dim=1)


def losses(
    unit: Unit, weights: Tensor, x: Tensor, y: Tensor, generators: list[torch.Generator], score: Score
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
    found = []
    for base, row, annotation, generator in zip(bases, rows, y.unsqueeze(-1), generators):
        energy = partial(_energy, score, base, row)
        found.append(method.loss(energy, annotation, generator).loss.mean())
    return torch.stack(found)


def _energy(score: Score, base: Tensor, row: Tensor, points: Tensor) -> Tensor:
    """f [B, M] of points [B, M, 1], as `ltr.ebm` asks for it."""
    return score(base, points.squeeze(-1), row)


def train(unit: Unit, score: Score, tick: Callable[[], object] | None = None) -> Tensor:
    """The trained weights [K, P] of a unit.

    A model whose loss stops being finite stays so and does not touch the others.

    Args:
        score: the compiled score or `network.score`; SM, which needs third derivatives, always takes the latter.
        tick: called after every step.
    """
    settings = unit.settings
    score = network.score if METHODS[unit.method].registered == "sm" else score
    x, y = training_pairs(unit.dataset, settings.train_size, settings.data_seed, settings.label_noise)
    weights = initial_stack(settings).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=settings.learning_rate)
    noise = _generators(settings, _NOISE)
    for chosen in batches(settings):
        optimiser.zero_grad()
        losses(unit, weights, x[chosen], y[chosen], noise, score).sum().backward()
        optimiser.step()
        if tick is not None:
            tick()
    return weights.detach()
