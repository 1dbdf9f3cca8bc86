from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
import torch

from ltr.ops.labels import gaussian_label
from pytracking.tracker.atom import classifier
from pytracking.tracker.atom.classifier import (
    ClassifierParameters,
    compress,
    fit_filter,
    fit_layers,
    mlu,
    normalise_power,
    score_maps,
    start_layers,
    weighted_errors,
)

PARAMETERS = ClassifierParameters()
CHANNELS, SAMPLES, CELLS = 24, 6, 10


def problem(seed: int = 0):
    """Features of a target that some of the channels answer to, its labels, and equal weights."""
    generator = torch.Generator().manual_seed(seed)
    boxes = 50 + 40 * torch.rand(SAMPLES, 4, generator=generator)
    boxes[:, 2:] = 32
    labels = gaussian_label(boxes, image_size=160, feature_size=CELLS, filter_size=4, sigma_factor=1 / 20)
    pattern = torch.randn(CHANNELS, generator=generator)
    features = torch.randn(SAMPLES, CHANNELS, CELLS, CELLS, generator=generator)
    features += 3 * pattern[None, :, None, None] * labels[:, None, :-1, :-1]
    return normalise_power(features), labels, torch.full((SAMPLES,), 1 / SAMPLES)


def energy(projection, filters, features, labels, weights, parameters=PARAMETERS) -> float:
    """What `fit_layers` minimises, written out."""
    scores = torch.nn.functional.conv2d(
        torch.nn.functional.conv2d(features, projection[:, :, None, None]), filters, padding=2
    )[:, 0]
    scores = torch.where(scores > 0, scores, parameters.mlu_min_value * torch.expm1(scores / parameters.mlu_min_value))
    data = (weights[:, None, None] * (scores - labels).square()).sum()
    return float(
        data + parameters.filter_reg * filters.square().sum() + parameters.projection_reg * projection.square().sum()
    )


def test_features_have_mean_square_one_each():
    features = torch.randn(3, 5, 4, 4) * torch.tensor([1e-2, 1, 50])[:, None, None, None]
    torch.testing.assert_close(normalise_power(features).square().mean((1, 2, 3)), torch.ones(3), atol=1e-5, rtol=0)
    assert torch.equal(normalise_power(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


def test_mlu_by_hand():
    values = torch.tensor([2.0, 0.0, -0.05, -10.0], requires_grad=True)
    activated = mlu(values, 0.05)
    assert activated.tolist() == pytest.approx([2, 0, 0.05 * (math.exp(-1) - 1), -0.05])
    activated.sum().backward()
    assert values.grad is not None and values.grad[0] == 1
    near = torch.tensor([-1e-5, 1e-5]).double()
    torch.testing.assert_close(mlu(near, 0.05), near, atol=1e-8, rtol=0)


def test_layers_are_those_convolutions():
    features = torch.randn(2, 5, 6, 6)
    projection, filters = torch.randn(7, 5), torch.randn(1, 7, 4, 4)
    hidden = torch.nn.functional.conv2d(features, projection[:, :, None, None])
    torch.testing.assert_close(compress(projection, features), hidden)
    scores = torch.nn.functional.conv2d(hidden, filters, padding=2)[:, 0]
    torch.testing.assert_close(score_maps(filters, compress(projection, features)), scores, atol=1e-4, rtol=1e-5)


def test_the_start_is_drawn_from_the_generator():
    one, same, other = (start_layers(5, PARAMETERS, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])
    assert one[0].shape == (64, 5) and one[1].shape == (1, 64, 4, 4)


def test_residuals_sum_to_the_weighted_squared_error():
    scores, labels = torch.randn(2, 3, 3), torch.rand(2, 3, 3)
    weights = torch.tensor([0.25, 0.75])
    plain = dataclasses.replace(PARAMETERS, response_activation="none")
    expected = 0.25 * (scores[0] - labels[0]).square().sum() + 0.75 * (scores[1] - labels[1]).square().sum()
    torch.testing.assert_close(weighted_errors(scores, labels, weights, plain).square().sum(), expected)
    bounded = weighted_errors(scores - 100, torch.zeros_like(labels), weights, PARAMETERS)
    torch.testing.assert_close(bounded, -0.05 * weights.sqrt()[:, None, None].expand(2, 3, 3))


def test_the_energy_falls_in_every_round():
    features, labels, weights = problem()
    start = start_layers(CHANNELS, PARAMETERS, torch.Generator().manual_seed(0))
    energies = [energy(*start, features, labels, weights)]
    for rounds in range(1, 7):
        changed = dataclasses.replace(PARAMETERS, init_GN_iter=rounds, init_CG_iter=10 * rounds)
        energies.append(energy(*fit_layers(*start, features, labels, weights, changed), features, labels, weights))
    assert all(after < before for before, after in pairwise(energies)), energies
    assert energies[-1] < 0.2 * energies[0]


def test_the_first_frame_takes_sixty_iterations_in_six_rounds_preconditioned_by_the_regularisation(monkeypatch):
    asked = []

    def recorded(residuals, start, **options):
        asked.append(([tuple(tensor.shape) for tensor in start], options))
        return start

    monkeypatch.setattr(classifier, "gauss_newton", recorded)
    features, labels, weights = problem()
    layers = start_layers(CHANNELS, PARAMETERS, torch.Generator().manual_seed(0))
    fit_layers(*layers, features, labels, weights, PARAMETERS)
    fit_filter(layers[1], compress(layers[0], features), labels, weights, PARAMETERS, iterations=5)
    (both, first), (alone, update) = asked
    assert both == [(64, CHANNELS), (1, 64, 4, 4)] and alone == [(1, 64, 4, 4)]
    assert first == {"rounds": 6, "iterations": 10, "preconditioner": pytest.approx((1e4, 10))}
    assert update == {"rounds": 1, "iterations": 5, "preconditioner": pytest.approx((10,))}


def test_learned_scores_peak_where_the_labels_do():
    features, labels, weights = problem()
    start = start_layers(CHANNELS, PARAMETERS, torch.Generator().manual_seed(0))
    projection, filters = fit_layers(*start, features, labels, weights, PARAMETERS)
    scores = score_maps(filters, compress(projection, features))
    assert torch.equal(scores.flatten(1).argmax(1), labels.flatten(1).argmax(1))


def test_an_update_lowers_the_energy_and_reaches_a_stationary_filter():
    features, labels, weights = problem()
    projection, filters = start_layers(CHANNELS, PARAMETERS, torch.Generator().manual_seed(0))
    compressed = compress(projection, features)
    energies, latest = [energy(projection, filters, features, labels, weights)], filters
    for _ in range(30):
        latest = fit_filter(latest, compressed, labels, weights, PARAMETERS, iterations=5)
        energies.append(energy(projection, latest, features, labels, weights))
    assert energies[1] < energies[0] and energies[-1] <= energies[1]
    again = fit_filter(latest, compressed, labels, weights, PARAMETERS, iterations=5)
    torch.testing.assert_close(again, latest, atol=1e-4, rtol=1e-2)


def test_no_iterations_change_nothing():
    features, labels, weights = problem()
    projection, filters = start_layers(CHANNELS, PARAMETERS, torch.Generator().manual_seed(0))
    same = fit_filter(filters, compress(projection, features), labels, weights, PARAMETERS, iterations=0)
    assert torch.equal(same, filters)


def test_a_sample_without_weight_teaches_nothing():
    features, labels, weights = problem()
    projection, filters = start_layers(CHANNELS, PARAMETERS, torch.Generator().manual_seed(0))
    compressed = compress(projection, features)
    weights[0] = 0
    changed = labels.clone()
    changed[0] = 1 - changed[0]
    one, other = (fit_filter(filters, compressed, label, weights, PARAMETERS, 5) for label in (labels, changed))
    assert torch.equal(one, other)
