"""Gaussian mixtures: golden densities, moments of the samples, normalisation, reproducible draws."""

from __future__ import annotations

import math

import pytest
import torch
from golden import load_golden

from ltr.ebm.noise import GaussianMixture
from ltr.ops.boxes import to_relative

GOLDEN = {name: torch.from_numpy(array) for name, array in load_golden("boxes").items()}


@pytest.mark.parametrize(
    ("boxes", "sigma", "density"),
    [
        ("proposals", "proposal_sigma", "proposal_density"),
        ("proposals3", "proposal_sigma3", "proposal_density3"),
        ("proposals", "gt_sigma", "gt_density"),
    ],
)
def test_log_prob_equals_golden(boxes: str, sigma: str, density: str) -> None:
    annotation = GOLDEN["mean_box"].double()
    size = annotation[..., 2:]
    offsets = to_relative(GOLDEN[boxes].double(), size) - to_relative(annotation, size)
    pairs = [(float(centre), float(extent)) for centre, extent in GOLDEN[sigma].reshape(-1, 2)]
    found = GaussianMixture.from_centre_size(pairs, torch.float64).log_prob(offsets)
    expected = GOLDEN[density].double()
    # Far out, float32 rounding of the golden boxes is magnified: 2e-5 of the greatest density there.
    near = expected > 1e-4
    assert near.sum() > 20
    torch.testing.assert_close(found.exp()[near], expected[near], rtol=2e-5, atol=0)
    assert found.isfinite().all()
    assert (found.exp()[~near] < 2e-4).all()


def test_one_component_is_a_normal_density() -> None:
    mixture = GaussianMixture(torch.tensor([[0.5, 2.0]], dtype=torch.float64))
    offsets = torch.randn(10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reference = torch.distributions.Normal(torch.zeros(2, dtype=torch.float64), mixture.sigmas[0])
    torch.testing.assert_close(mixture.log_prob(offsets), reference.log_prob(offsets).sum(-1))


def test_density_integrates_to_one() -> None:
    mixture = GaussianMixture(torch.tensor([[0.1], [0.8]], dtype=torch.float64))
    grid = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    assert torch.trapezoid(mixture.log_prob(grid[:, None]).exp(), grid) == pytest.approx(1, abs=1e-8)


def test_samples_have_the_mixture_variance() -> None:
    mixture = GaussianMixture.from_centre_size([(0.05, 0.1), (0.5, 0.3)], torch.float64)
    offsets = mixture.sample((400, 500), torch.Generator().manual_seed(0))
    assert offsets.shape == (400, 500, 4)
    variance = offsets.flatten(0, 1).var(0)
    expected = mixture.sigmas.square().mean(0)
    torch.testing.assert_close(variance, expected, rtol=0.02, atol=0)
    assert offsets.mean((0, 1)).abs().max() < 0.005
    # Half of the samples come from each component: the narrow one shows in the middle.
    assert (offsets[..., 0].abs() < 0.1).double().mean() == pytest.approx(0.5 * 0.9545 + 0.5 * 0.1585, abs=0.01)


def test_same_seed_same_draws() -> None:
    mixture = GaussianMixture(torch.tensor([[0.2], [1.6]]))
    first, second = (mixture.sample((5, 3), torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, mixture.sample((5, 3), torch.Generator().manual_seed(8)))


def test_types_follow_the_request() -> None:
    mixture = GaussianMixture(torch.tensor([[0.2], [1.6]]))
    assert mixture.dimensions == 1
    assert mixture.to(dtype=torch.float64).sigmas.dtype == torch.float64
    assert mixture.to("cpu").sigmas.dtype == torch.float32
    assert mixture.to(dtype=torch.float64).sample((2,)).dtype == torch.float64
    assert mixture.log_prob(torch.zeros(3, 1, dtype=torch.float64)).dtype == torch.float64


def test_far_offsets_have_a_finite_log_density() -> None:
    mixture = GaussianMixture.from_centre_size([(0.05, 0.05), (0.5, 0.5)])
    assert mixture.log_prob(torch.full((1, 4), 1e4)).isfinite().all()


@pytest.mark.parametrize("sigmas", [[[0.0]], [[-1.0]], [[math.nan]], [[math.inf]]])
def test_bad_sigmas_are_refused(sigmas: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="finite and positive"):
        GaussianMixture(torch.tensor(sigmas))


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \[K, D\]"):
        GaussianMixture(torch.tensor([0.1]))
