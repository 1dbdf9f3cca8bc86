"""What every objective converges to: the weights of a mixture, NCE for NCE+ without noise, the exact gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltr.ebm.density import grid_log_density
from ltr.ebm.methods import create_method

MODES, SIGMA, WEIGHT = (-1.0, 1.0), 0.5, 0.7
NOISE: dict[str, Any] = {"noise_sigmas": (0.4, 1.6), "num_samples": 256}
NOISE_VARIANCE = (0.4**2 + 1.6**2) / 2


class MixtureEnergy(nn.Module):
    """f = log(w N(y; -1, s^2) + (1 - w) N(y; 1, s^2)) + a constant; only the logit of w is learned."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.variance = variance
        self.logit = nn.Parameter(torch.zeros(()))

    def forward(self, points: Tensor) -> Tensor:
        first, second = (-0.5 * (points[..., 0] - mode).square() / self.variance for mode in MODES)
        log_sigmoid = nn.functional.logsigmoid
        return torch.logaddexp(log_sigmoid(self.logit) + first, log_sigmoid(-self.logit) + second) + 3.0


def mixture_annotations() -> Tensor:
    """[200, 1], 140 quantiles of the first component and 60 of the second."""
    parts = []
    for mode, count in zip(MODES, (140, 60)):
        levels = (torch.arange(count) + 0.5) / count
        parts.append(mode + SIGMA * math.sqrt(2) * torch.erfinv(2 * levels - 1))
    return torch.cat(parts)[:, None]


@pytest.mark.parametrize(
    ("name", "settings", "added_variance"),
    [
        ("mlis", NOISE, 0),
        ("kldis", {**NOISE, "label_sigma": 0.3}, 0.3**2),
        ("nce", NOISE, 0),
        ("nceplus", {**NOISE, "beta": 0.1}, 0.1**2 * NOISE_VARIANCE),
        ("mlmcmc", {"num_samples": 16, "steps": 16, "step_length": 0.3}, 0),
        ("sm", {}, 0),
        ("dsm", {"sigma": 0.2, "num_samples": 32}, 0.2**2),
    ],
)
def test_recovers_the_weights_of_a_mixture(name: str, settings: dict[str, Any], added_variance: float) -> None:
    energy = MixtureEnergy(SIGMA**2 + added_variance)
    method = create_method(name, **settings)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(energy.parameters(), lr=0.05)
    annotation, trail = mixture_annotations(), []
    for step in range(200):
        optimiser.zero_grad()
        method.loss(energy, annotation, generator).loss.mean().backward()
        optimiser.step()
        if step >= 120:
            trail.append(energy.logit.detach().sigmoid())
    assert float(torch.stack(trail).mean()) == pytest.approx(WEIGHT, abs=0.03)


def wavy(weights: Tensor, points: Tensor) -> Tensor:
    """An energy [B, M] of points [B, M, 1] with two parameters: nothing Gaussian."""
    y = points[..., 0]
    return weights[0] * torch.sin(3 * y) - weights[1] * y.square() - 0.1 * y.square().square()


ANNOTATION = torch.tensor([[0.4]], dtype=torch.float64)


def gradient(name: str, samples: int, seed: int, **settings: Any) -> Tensor:
    """The loss's gradient [2] in the energy's parameters at (1.2, 0.7)."""
    weights = torch.tensor([1.2, 0.7], dtype=torch.float64, requires_grad=True)
    method = create_method(name, num_samples=samples, noise_sigmas=(0.3, 1.2), **settings)
    output = method.loss(lambda points: wavy(weights, points), ANNOTATION, torch.Generator().manual_seed(seed))
    return torch.autograd.grad(output.loss.mean(), weights)[0]


def exact_gradient(expected_at: Tensor, log_weights: Tensor) -> Tensor:
    """Gradient [2] of log Z - E f by numeric integration, E over the points `expected_at` [N] with log weights [N]."""
    weights = torch.tensor([1.2, 0.7], dtype=torch.float64, requires_grad=True)
    grid = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    scores = wavy(weights, grid[None, :, None])
    density = grid_log_density(scores.detach(), 16 / 20_000).exp() * 16 / 20_000
    expected = (wavy(weights, expected_at[None, :, None])[0] * torch.softmax(log_weights, 0)).sum()
    return torch.autograd.grad((density * scores).sum() - expected, weights)[0]


@pytest.mark.parametrize("name", ["mlis", "nce", "kldis"])
def test_gradients_tend_to_numeric_integration_as_samples_grow(name: str) -> None:
    """Each is the likelihood's gradient in the limit; KLD-IS has the label density in place of the annotation."""
    settings: dict[str, Any] = {"label_sigma": 0.3} if name == "kldis" else {}
    at, log_weights = ANNOTATION[0], torch.zeros(1, dtype=torch.float64)
    if name == "kldis":
        at = torch.linspace(-3, 4, 5_001, dtype=torch.float64)
        log_weights = -0.5 * ((at - ANNOTATION[0]) / 0.3).square()
    exact = exact_gradient(at, log_weights)
    errors = []
    for samples in (16, 256, 4096, 65_536):
        found = torch.stack([gradient(name, samples, seed, **settings) for seed in range(16)])
        errors.append(float((found - exact).square().mean().sqrt()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02
    # The error falls as the root of M: 64 times between M = 16 and M = 65536, were bias and tails nothing.
    assert errors[0] / errors[-1] > 20


def test_nceplus_tends_to_nce_as_beta_tends_to_zero() -> None:
    nce = gradient("nce", 64, seed=3)
    distances = [float((gradient("nceplus", 64, seed=3, beta=beta) - nce).abs().max()) for beta in (0.5, 0.05, 0.005)]
    assert distances == sorted(distances, reverse=True)
    assert 0 < distances[-1] < 0.02
    torch.testing.assert_close(gradient("nceplus", 64, seed=3, beta=0.0), nce, rtol=0, atol=0)
