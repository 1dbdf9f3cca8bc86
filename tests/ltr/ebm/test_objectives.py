"""Objectives: golden losses and gradients, scores too large for exp, and what each estimates as M grows."""

from __future__ import annotations

import math

import pytest
import torch
from golden import load_golden
from torch import Tensor

from ltr.ebm.noise import GaussianMixture
from ltr.ebm.objectives import dsm, kl_grid, kld_is, lb_hinge, log_partition, ml_is, ml_mcmc, nce, score_matching

GOLDEN = {name: torch.from_numpy(array) for name, array in load_golden("objectives").items()}


def golden_inputs() -> tuple[Tensor, Tensor, Tensor]:
    return GOLDEN["scores"].clone().requires_grad_(), GOLDEN["sample_density"].log(), GOLDEN["gt_density"].log()


def assert_golden(loss: Tensor, scores: Tensor, value: str, gradient: str) -> None:
    torch.testing.assert_close(loss.mean(), GOLDEN[value].reshape(()), rtol=1e-12, atol=0)
    loss.mean().backward()
    torch.testing.assert_close(scores.grad, GOLDEN[gradient], rtol=1e-10, atol=1e-15)


def test_kld_is_equals_golden() -> None:
    scores, log_noise, log_label = golden_inputs()
    assert_golden(kld_is(scores, log_noise, log_label), scores, "kld_is", "kld_is_grad")


def test_ml_is_equals_golden() -> None:
    scores, log_noise, _ = golden_inputs()
    loss = ml_is(scores[:, 0], scores[:, 1:], log_noise[:, 1:])
    assert_golden(loss, scores, "ml_is_first_is_gt", "ml_is_grad")


def test_nce_equals_golden() -> None:
    scores, log_noise, _ = golden_inputs()
    loss = nce(scores[:, 0], log_noise[:, 0], scores[:, 1:], log_noise[:, 1:])
    assert_golden(loss, scores, "nce_first_is_positive", "nce_grad")


def test_grid_losses_equal_golden() -> None:
    kl = kl_grid(GOLDEN["grid_scores"], GOLDEN["grid_gt"])
    assert kl.shape == (3, 1)
    torch.testing.assert_close(kl.mean(), GOLDEN["kl_grid"].reshape(()), rtol=1e-12, atol=0)
    hinge = lb_hinge(GOLDEN["grid_scores"], GOLDEN["hinge_label"], 0.05)
    assert hinge.shape == (3, 1)
    torch.testing.assert_close(hinge.mean(), GOLDEN["lb_hinge_005"].reshape(()), rtol=1e-12, atol=0)


def test_lb_hinge_counts_the_threshold_as_target() -> None:
    scores = torch.tensor([[-2.0, -2.0]])
    label = torch.tensor([[0.5, 0.25]])
    assert lb_hinge(scores, label, 0.5) == pytest.approx(2.5**2 / 2)


def test_kl_on_a_finer_grid_is_the_same() -> None:
    def on_grid(cells: int) -> Tensor:
        axis = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells * 12 - 6
        radius = axis[:, None].square() + axis.square()
        density = (-radius / 2).exp() / (2 * math.pi)
        area = (12 / cells) ** 2
        return kl_grid(-radius / 4, density * area) + math.log(area)

    # E_p f = -1/4 * 2, log Z = log(4 pi)
    assert on_grid(60) == pytest.approx(math.log(4 * math.pi) + 0.5, abs=1e-4)
    assert on_grid(120) == pytest.approx(float(on_grid(60)), abs=1e-4)


@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_scores_give_finite_losses_and_gradients(scale: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = GaussianMixture.from_centre_size([(0.05, 0.05), (0.5, 0.5)], dtype)
    offsets = noise.sample((4, 128), generator)
    log_noise = noise.log_prob(offsets)
    log_label = GaussianMixture.from_centre_size([(0.05, 0.05)], dtype).log_prob(offsets)
    pattern = torch.rand(4, 129, generator=generator, dtype=dtype).round() * scale
    for make in (
        lambda f: ml_is(f[:, 0], f[:, 1:], log_noise),
        lambda f: kld_is(f[:, 1:], log_noise, log_label),
        lambda f: nce(f[:, 0], noise.log_prob(torch.zeros(4, 4, dtype=dtype)), f[:, 1:], log_noise),
        lambda f: ml_mcmc(f[:, 0], f[:, 1:]),
    ):
        scores = pattern.clone().requires_grad_()
        loss = make(scores)
        assert loss.shape == (4,)
        assert loss.isfinite().all()
        (gradient,) = torch.autograd.grad(loss.sum(), scores)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


def test_gradients_do_not_depend_on_a_constant_in_the_energy() -> None:
    scores, log_noise, _ = golden_inputs()
    for constant in (0.0, 5e3):
        shifted = scores.detach() + constant
        loss = nce(shifted[:, 0], log_noise[:, 0], shifted[:, 1:], log_noise[:, 1:])
        torch.testing.assert_close(
            loss, nce(scores[:, 0], log_noise[:, 0], scores[:, 1:], log_noise[:, 1:]).detach(), rtol=1e-9, atol=1e-9
        )


def test_half_precision_scores_are_computed_in_float32() -> None:
    scores, log_noise, log_label = (tensor.detach().float() for tensor in golden_inputs())
    half = scores.bfloat16()
    expected = kld_is(half.float(), log_noise, log_label)
    torch.testing.assert_close(kld_is(half, log_noise, log_label), expected, rtol=0, atol=0)
    assert ml_mcmc(half[:, 0], half[:, 1:]).dtype == torch.float32


def test_partition_function_of_a_gaussian_energy() -> None:
    """f = -y^2 / (2 s^2) has log Z = log(s sqrt(2 pi)); the estimate tends to it as M grows."""
    s = 0.3
    noise = GaussianMixture(torch.tensor([[0.2], [1.0]], dtype=torch.float64))
    exact = math.log(s * math.sqrt(2 * math.pi))
    errors = []
    for samples in (100, 10_000, 1_000_000):
        offsets = noise.sample((1, samples), torch.Generator().manual_seed(1))
        estimate = log_partition(-offsets[..., 0].square() / (2 * s**2), noise.log_prob(offsets))
        errors.append(abs(float(estimate) - exact))
    assert errors[-1] < 2e-3
    assert errors[-1] < errors[0]


def test_importance_sampled_gradients_tend_to_the_integral() -> None:
    """d/da of the exact losses for f = -a y^2: ML-IS y0^2 - E_model y^2, KLD-IS E_label y^2 - E_model y^2."""
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    noise = GaussianMixture(torch.tensor([[0.3], [1.2]], dtype=torch.float64))
    label_sigma = 0.4
    offsets = noise.sample((1, 1_000_000), torch.Generator().manual_seed(2))
    log_noise = noise.log_prob(offsets)
    log_label = GaussianMixture(torch.tensor([[label_sigma]], dtype=torch.float64)).log_prob(offsets)
    scores = -a * offsets[..., 0].square()
    model_variance = 1 / (2 * 2.0)
    (of_ml,) = torch.autograd.grad(
        ml_is(-a * torch.full((1,), 0.5).double() ** 2, scores, log_noise).sum(), a, retain_graph=True
    )
    assert float(of_ml) == pytest.approx(0.25 - model_variance, abs=2e-3)
    (of_kld,) = torch.autograd.grad(kld_is(scores, log_noise, log_label).sum(), a)
    assert float(of_kld) == pytest.approx(label_sigma**2 - model_variance, abs=2e-3)


def test_score_matching_closed_form() -> None:
    """f = -|y|^2 / (2 s^2) in 3 dimensions: trace -3/s^2, gradient -y/s^2."""
    s = 0.5
    points = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.0, 0.0]], dtype=torch.float64)
    loss = score_matching(-points / s**2, torch.full((2,), -3 / s**2, dtype=torch.float64))
    expected = [-12 + 0.5 * 0.14 / s**4, -12]
    assert loss.tolist() == pytest.approx(expected)


def test_dsm_is_zero_for_the_noise_itself() -> None:
    sigma = torch.tensor([0.1, 0.3], dtype=torch.float64)
    offset = torch.randn(3, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * sigma
    assert dsm(-offset / sigma**2, offset, sigma).abs().max() < 1e-20
    assert dsm(torch.zeros(3, 7, 2), offset, 0.5).tolist() == pytest.approx(
        (offset.square().sum(-1).mean(-1) / 0.5**4).tolist()
    )
