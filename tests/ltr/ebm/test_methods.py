"""Training methods: each recovers a known density, agrees with its formula, and says what is wrong with a setting."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltr.ebm import objectives
from ltr.ebm.methods import DSM, KLDIS, METHODS, MLIS, MLMCMC, NCE, SM, NCEPlus, create_method, expand_sigma
from ltr.ebm.noise import GaussianMixture
from ltr.ops.prroi_pool import prroi_pool_grouped

MEAN, SIGMA = 1.0, 0.5
NOISE: dict[str, Any] = {"noise_sigmas": (0.4, 1.5), "num_samples": 512}
NOISE_VARIANCE = (0.4**2 + 1.5**2) / 2


class GaussianEnergy(nn.Module):
    """f(y) = -(y - mean)^2 / (2 sigma^2), whose density is N(mean, sigma^2)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, points: Tensor) -> Tensor:
        return -0.5 * ((points[..., 0] - self.mean) / self.log_sigma.exp()).square()


def normal_quantiles(count: int) -> Tensor:
    levels = (torch.arange(count) + 0.5) / count
    return MEAN + SIGMA * math.sqrt(2) * torch.erfinv(2 * levels - 1)


@pytest.mark.parametrize(
    ("name", "settings", "added_variance"),
    [
        ("mlis", NOISE, 0),
        ("kldis", {**NOISE, "label_sigma": 0.3}, 0.3**2),
        ("nce", NOISE, 0),
        ("nceplus", {**NOISE, "beta": 0.25}, 0.25**2 * NOISE_VARIANCE),
        ("mlmcmc", {"num_samples": 16, "steps": 8, "step_length": 0.2}, 0),
        ("sm", {}, 0),
        ("dsm", {"sigma": 0.2, "num_samples": 16}, 0.2**2),
        ("mlis", {**NOISE, "share_noise": True}, 0),
        ("dsm", {"sigma": 0.2, "num_samples": 512, "share_noise": True}, 0.2**2),
    ],
)
def test_recovers_a_gaussian(name: str, settings: dict[str, Any], added_variance: float) -> None:
    """Each objective's optimum is the data's density, widened by the noise that the method puts on the label."""
    generator = torch.Generator().manual_seed(0)
    energy = GaussianEnergy()
    method = create_method(name, **settings)
    annotation = normal_quantiles(128)[:, None]
    optimiser = torch.optim.Adam(energy.parameters(), lr=0.03)
    trail = []
    for step in range(300):
        optimiser.zero_grad()
        method.loss(energy, annotation, generator).loss.mean().backward()
        optimiser.step()
        if step >= 200:
            trail.append(torch.stack((energy.mean, (2 * energy.log_sigma).exp())).detach())
    mean, variance = torch.stack(trail).mean(0).tolist()
    assert mean == pytest.approx(MEAN, abs=0.03)
    assert variance == pytest.approx(SIGMA**2 + added_variance, rel=0.06)


def bowl(points: Tensor) -> Tensor:
    """An energy in 4 dimensions, nothing special at any point."""
    return (points * points.new_tensor([1.0, -2, 0.5, 3])).sum(-1).sin() - points.square().sum(-1)


ANNOTATION = torch.tensor([[0.3, 1.0, 4.0, 3.5], [0.1, 0.2, 3.0, 3.2], [2.0, 1.5, 5.0, 4.0]], dtype=torch.float64)


def draws(sigmas: list[tuple[float, float]], samples: int, seed: int, batch: int = 3) -> tuple[GaussianMixture, Tensor]:
    mixture = GaussianMixture.from_centre_size(sigmas, torch.float64)
    return mixture, mixture.sample((batch, samples), torch.Generator().manual_seed(seed))


def test_losses_are_the_formulas_at_the_drawn_points() -> None:
    noise, offsets = draws([(0.05, 0.05), (0.5, 0.5)], 128, seed=5)
    points = ANNOTATION[:, None] + offsets
    log_noise = noise.log_prob(offsets)

    def run(method: Any) -> Tensor:
        return method.loss(bowl, ANNOTATION, torch.Generator().manual_seed(5)).loss

    torch.testing.assert_close(run(MLIS()), objectives.ml_is(bowl(ANNOTATION), bowl(points), log_noise))
    label = GaussianMixture.from_centre_size([(0.05, 0.05)], torch.float64).log_prob(offsets)
    torch.testing.assert_close(run(KLDIS()), objectives.kld_is(bowl(points), log_noise, label))
    centre = noise.log_prob(torch.zeros(3, 4, dtype=torch.float64))
    torch.testing.assert_close(run(NCE()), objectives.nce(bowl(ANNOTATION), centre, bowl(points), log_noise))


def test_nceplus_rates_its_positive_under_the_unscaled_noise() -> None:
    generator = torch.Generator().manual_seed(5)
    noise = GaussianMixture.from_centre_size([(0.05, 0.05), (0.5, 0.5)], torch.float64)
    offsets = noise.sample((3, 128), generator)
    positive = 0.1 * noise.sample((3,), generator)
    expected = objectives.nce(
        bowl(ANNOTATION + positive),
        noise.log_prob(positive),
        bowl(ANNOTATION[:, None] + offsets),
        noise.log_prob(offsets),
    )
    found = NCEPlus().loss(bowl, ANNOTATION, torch.Generator().manual_seed(5)).loss
    torch.testing.assert_close(found, expected)


def test_nceplus_tends_to_nce() -> None:
    reference = NCE().loss(bowl, ANNOTATION, torch.Generator().manual_seed(1)).loss
    errors = []
    for beta in (0.1, 0.01, 0.0):
        loss = NCEPlus(beta=beta).loss(bowl, ANNOTATION, torch.Generator().manual_seed(1)).loss
        errors.append(float((loss - reference).abs().max()))
    assert errors[0] > errors[1] > 0
    assert errors[2] == 0


def test_score_matching_of_a_known_energy() -> None:
    def energy(points: Tensor) -> Tensor:
        x, y, w, h = points.unbind(-1)
        return x.pow(3) + x * y - w.square() * h + h.pow(4) / 12

    output = SM().loss(energy, ANNOTATION)
    x, y, w, h = ANNOTATION.unbind(-1)
    gradient = torch.stack((3 * x**2 + y, x, -2 * w * h, -(w**2) + h**3 / 3), -1)
    trace = 6 * x - 2 * h + h**2
    torch.testing.assert_close(output.loss, trace + 0.5 * gradient.square().sum(-1))
    assert float(output.statistics["hessian_trace"]) == pytest.approx(float(trace.mean()))


def test_score_matching_of_a_linear_energy_has_no_trace() -> None:
    weight = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64, requires_grad=True)
    loss = SM().loss(lambda points: points @ weight, ANNOTATION).loss
    assert loss.tolist() == pytest.approx([15.0] * 3)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_a_pooled_head(name: str) -> None:
    """The whole chain: boxes -> Precise RoI Pooling -> score, with the gradient of the loss in features and weights."""
    features = torch.randn(3, 4, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features.requires_grad_()
    weight = torch.ones(4, 3, 3, dtype=torch.float64, requires_grad=True)

    def energy(points: Tensor) -> Tensor:
        corners = torch.cat((points[..., :2], points[..., :2] + points[..., 2:].exp()), -1)
        return (prroi_pool_grouped(features, corners, 3, 1.0).tanh() * weight).sum((-3, -2, -1))

    start = torch.tensor([[2.0, 3.0, 1.2, 1.5]] * 3, dtype=torch.float64)
    output = create_method(name).loss(energy, start, torch.Generator().manual_seed(0))
    assert output.loss.shape == (3,)
    for value in torch.autograd.grad(output.loss.mean(), (features, weight)):
        assert value.isfinite().all() and value.abs().max() > 0
    assert output.statistics
    for value in output.statistics.values():
        assert value.dim() == 0 and value.isfinite() and not value.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_every_method_draws_reproducibly_and_works_without_grad_mode(name: str) -> None:
    method = create_method(name)
    first = method.loss(bowl, ANNOTATION, torch.Generator().manual_seed(3)).loss
    with torch.no_grad():
        second = method.loss(bowl, ANNOTATION, torch.Generator().manual_seed(3)).loss
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["mlis", "kldis", "nce", "nceplus", "dsm"])
@pytest.mark.parametrize("shared", [False, True])
def test_noise_is_shared_across_the_batch_on_demand(name: str, shared: bool) -> None:
    seen = []

    def energy(points: Tensor) -> Tensor:
        seen.append(points.detach())
        return bowl(points)

    create_method(name, share_noise=shared, num_samples=16).loss(energy, ANNOTATION, torch.Generator().manual_seed(0))
    (points,) = seen
    offsets = (points - ANNOTATION[:, None])[:, -16:]
    assert torch.allclose(offsets[0], offsets[1], atol=1e-12) is shared


@pytest.mark.parametrize(("name", "points"), [("mlis", 129), ("kldis", 128), ("nce", 129), ("nceplus", 129)])
def test_one_evaluation_scores_positive_and_samples(name: str, points: int) -> None:
    calls = []

    def energy(given: Tensor) -> Tensor:
        calls.append(given.shape)
        return bowl(given)

    create_method(name).loss(energy, ANNOTATION)
    assert calls == [(3, points, 4)]


@pytest.mark.parametrize("name", ["mlis", "kldis", "nce", "nceplus"])
def test_statistics_of_a_peaked_and_of_a_matching_energy(name: str) -> None:
    noise, _ = draws([(0.05, 0.05), (0.5, 0.5)], 1, seed=0)

    def peaked(points: Tensor) -> Tensor:
        return -1e4 * (points - ANNOTATION[:, None]).square().sum(-1)

    def matching(points: Tensor) -> Tensor:
        return noise.log_prob(points - ANNOTATION[:, None])

    arguments: dict[str, Any] = {"beta": 0.0} if name == "nceplus" else {}
    method = create_method(name, **arguments)
    sharp, matched = (
        method.loss(energy, ANNOTATION, torch.Generator().manual_seed(0)).statistics for energy in (peaked, matching)
    )
    assert sharp["margin"] > matched["margin"] > 0
    assert 1 <= sharp["effective_samples"] < 10
    assert float(matched["effective_samples"]) == pytest.approx(128)
    if name.startswith("nce"):
        assert sharp["accuracy"] == 1 and matched["accuracy"] == 0


@pytest.mark.parametrize("name", METHODS)
def test_float32_annotations_give_float32_losses(name: str) -> None:
    assert create_method(name).loss(bowl, ANNOTATION.float()).loss.dtype == torch.float32


def test_defaults_are_those_of_the_papers_trackers() -> None:
    method = NCEPlus()
    assert method.noise_sigmas == ((0.05, 0.05), (0.5, 0.5))
    assert (method.num_samples, method.beta, KLDIS().label_sigma) == (128, 0.1, 0.05)
    assert set(METHODS) == {"mlis", "kldis", "nce", "nceplus", "mlmcmc", "sm", "dsm"}
    for kind in METHODS.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            kind().num_samples = 3  # type: ignore[attr-defined]


def test_sigmas_for_any_space() -> None:
    assert expand_sigma(0.1, 3) == (0.1, 0.1, 0.1)
    assert expand_sigma([0.2], 2) == (0.2, 0.2)
    assert expand_sigma((0.1, 0.2), 4) == (0.1, 0.1, 0.2, 0.2)
    assert expand_sigma((0.1, 0.2), 2) == (0.1, 0.2)
    assert expand_sigma((1, 2, 3, 4), 4) == (1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"3 sigmas .* do not fit a space of 4 dimensions"):
        expand_sigma((1, 2, 3), 4)
    DSM(sigma=(0.1, 0.2)).loss(bowl, ANNOTATION)
    MLMCMC(step_length=(1e-3, 2e-3), steps=1).loss(bowl, ANNOTATION)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown training method 'nce_plus'; did you mean 'nceplus'"):
        create_method("nce_plus")
    with pytest.raises(ValueError, match=r"unknown training method 'zzz'; choose from dsm, kldis, "):
        create_method("zzz")
    with pytest.raises(ValueError, match="unknown setting of nceplus 'num_sample'; did you mean 'num_samples'"):
        create_method("nceplus", num_sample=3)
    with pytest.raises(ValueError, match=r"unknown setting of sm 'beta'; there is none"):
        create_method("sm", beta=1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nceplus", {"beta": 1.5}),
        ("nceplus", {"beta": -0.1}),
        ("nce", {"num_samples": 0}),
        ("mlis", {"noise_sigmas": ()}),
        ("mlis", {"noise_sigmas": ((0.1, -0.1),)}),
        ("kldis", {"label_sigma": 0.0}),
        ("mlmcmc", {"steps": 0}),
        ("dsm", {"sigma": math.nan}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, settings: dict[str, Any]) -> None:
    (key,) = settings
    with pytest.raises(ValueError, match=key):
        create_method(name, **settings)


def test_an_energy_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores \[3, 129, 4\] for points \[3, 129, 4\]"):
        NCE().loss(lambda points: points, ANNOTATION)
