"""The filter optimisers: they descend on their losses, and weights and labels act as described."""

from __future__ import annotations

import pytest
import torch

from ltr.models.target_classifier.filter import apply_filter
from ltr.models.target_classifier.optimizer import (
    DistanceFunction,
    SteepestDescentGN,
    SteepestDescentNewton,
    distance_map,
    target_centres,
)


def problem(frames=3, sequences=2, channels=8, size=12):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(frames, sequences, channels, size, size, generator=generator)
    boxes = torch.tensor([60.0, 70.0, 50.0, 40.0]).repeat(frames, sequences, 1)
    return features, boxes, torch.zeros(sequences, channels, 4, 4)


def gauss_newton_loss(optimiser, filters, features, boxes):
    scores = apply_filter(features, filters)
    centres = target_centres(boxes, 16, 4)
    bins = distance_map(centres, *scores.shape[-2:]) / optimiser.bin_displacement
    mask = optimiser.target_mask_predictor(bins)
    activation = (1 - mask) / 2 * scores.abs() + (1 + mask) / 2 * scores
    error = optimiser.spatial_weight_predictor(bins) * (activation - optimiser.label_map_predictor(bins))
    return error.square().sum(dim=(0, 2, 3)) / len(features) + optimiser.filter_reg**2 * filters.square().sum((1, 2, 3))


def test_gauss_newton_descends_and_its_first_gradient_is_that_of_the_loss():
    features, boxes, start = problem()
    optimiser = SteepestDescentGN(init_gauss_sigma=0.9)
    _, iterates = optimiser(start, features, boxes, num_iter=10)
    losses = torch.stack([gauss_newton_loss(optimiser, w, features, boxes) for w in iterates])
    assert len(iterates) == 11
    assert (losses[1:] < losses[:-1]).all()

    begin = (0.1 * torch.randn(start.shape, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    (gradient,) = torch.autograd.grad(gauss_newton_loss(optimiser, begin, features, boxes).sum(), begin)
    step = (optimiser(begin.detach(), features, boxes, num_iter=1)[0] - begin).detach()
    cosine = torch.nn.functional.cosine_similarity(step.flatten(1), -gradient.flatten(1))
    assert (cosine > 1 - 1e-5).all()


def test_newton_descends_on_the_kl_divergence():
    features, boxes, start = problem()
    optimiser = SteepestDescentNewton()
    label = optimiser.label_density(target_centres(boxes, 16, 4), 13, 13)
    assert torch.allclose(label.sum(dim=(-2, -1)), torch.ones(3, 2))

    def loss(filters):
        logp = apply_filter(features, filters).flatten(-2).log_softmax(-1)
        return -(label.flatten(-2) * logp).sum(-1).mean(0) + 0.5 * optimiser.filter_reg**2 * filters.square().sum(
            (1, 2, 3)
        )

    _, iterates = optimiser(start, features, boxes, num_iter=8)
    losses = torch.stack([loss(w) for w in iterates])
    assert (losses[1:] < losses[:-1]).all()

    begin = (0.1 * torch.randn(start.shape, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(begin).sum(), begin)
    step = (optimiser(begin.detach(), features, boxes, num_iter=1)[0] - begin).detach()
    assert (torch.nn.functional.cosine_similarity(step.flatten(1), -gradient.flatten(1)) > 1 - 1e-5).all()


@pytest.mark.parametrize("optimiser", [SteepestDescentGN(), SteepestDescentNewton()], ids=["gn", "newton"])
def test_sample_weights_are_frequencies(optimiser):
    features, boxes, start = problem(frames=2)
    start = start + 0.01
    even, _ = optimiser(start, features, boxes, num_iter=3)
    same, _ = optimiser(start, features, boxes, sample_weight=torch.full((2, 2), 0.5), num_iter=3)
    assert torch.allclose(even, same, atol=1e-6)
    first_only, _ = optimiser(start, features, boxes, sample_weight=torch.tensor([[1.0, 1.0], [0.0, 0.0]]), num_iter=3)
    alone, _ = optimiser(start, features[:1], boxes[:1], num_iter=3)
    assert torch.allclose(first_only, alone, atol=1e-6)


def test_gradients_reach_the_learned_loss_through_the_unrolled_steps():
    features, boxes, start = problem()
    optimiser = SteepestDescentGN()
    filters, _ = optimiser(start, features, boxes, num_iter=3)
    apply_filter(features, filters).square().sum().backward()
    for name, parameter in optimiser.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_distance_function_interpolates_and_saturates():
    function = DistanceFunction(torch.tensor([0.0, 1.0, 4.0]))
    assert function(torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 9.0])).tolist() == [0.0, 0.5, 1.0, 2.5, 4.0, 4.0]


def test_an_odd_filter_moves_the_centre_by_half_a_cell():
    box = torch.tensor([[16.0, 32.0, 32.0, 64.0]])
    assert target_centres(box, 16, 4).tolist() == [[4.0, 2.0]]
    assert target_centres(box, 16, 5).tolist() == [[3.5, 1.5]]


def test_unknown_activations_are_refused():
    with pytest.raises(ValueError, match="score_act"):
        SteepestDescentGN(score_act="bentpar")
    with pytest.raises(ValueError, match="target_mask_act"):
        SteepestDescentGN(target_mask_act="tanh")
