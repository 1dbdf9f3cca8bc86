"""The two data sets: training pairs, and the true conditional densities in closed form.

Source: docs/reference.md, section 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Normal

LOW, HIGH = -3.0, 3.0
_SKEW = 0.25
_SPLIT_SIGMA = 0.075
_SPLIT_WEIGHTS = (0.8, 0.2)
# Nodes of the integral over the log-normal's underlying normal, in its standard deviations.
_NODES = 801
_REACH = 8.0


def _sample_split(x: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    sign = torch.where(torch.rand(x.shape, generator=generator) < _SPLIT_WEIGHTS[0], 1.0, -1.0)
    return torch.where(x < 0, sign * x.sin() + _SPLIT_SIGMA * normal, (_SKEW * normal).exp() - 1)


def _log_density_split(x: Tensor, y: Tensor, label_noise: float) -> Tensor:
    sigma = math.hypot(_SPLIT_SIGMA, label_noise)
    logs = [math.log(weight) for weight in _SPLIT_WEIGHTS]
    modes = torch.logaddexp(logs[0] + Normal(x.sin(), sigma).log_prob(y), logs[1] + Normal(-x.sin(), sigma).log_prob(y))
    skewed = _shifted_log_normal(y) if label_noise == 0 else _noisy_log_normal(y, label_noise)
    return torch.where(x < 0, modes, skewed)


def _shifted_log_normal(y: Tensor) -> Tensor:
    inside = y > -1
    log = torch.where(inside, y + 1, torch.ones_like(y)).log()
    density = -0.5 * (log / _SKEW).square() - log - math.log(_SKEW) - 0.5 * math.log(2 * math.pi)
    return torch.where(inside, density, torch.full_like(y, -math.inf))


def _noisy_log_normal(y: Tensor, label_noise: float) -> Tensor:
    """The log-normal convolved with N(0, label_noise^2), by quadrature: the integrand is smooth."""
    nodes = torch.linspace(-_REACH, _REACH, _NODES, dtype=y.dtype)
    weights = torch.log_softmax(-0.5 * nodes.square(), 0)
    means = (_SKEW * nodes).exp() - 1
    return torch.logsumexp(weights + Normal(means, label_noise).log_prob(y.unsqueeze(-1)), dim=-1)


def _spread(x: Tensor) -> Tensor:
    return 0.15 * torch.sigmoid(x)


def _sample_funnel(x: Tensor, generator: torch.Generator) -> Tensor:
    return x.sin() + _spread(x) * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _log_density_funnel(x: Tensor, y: Tensor, label_noise: float) -> Tensor:
    return Normal(x.sin(), torch.sqrt(_spread(x).square() + label_noise**2)).log_prob(y)


@dataclass(frozen=True)
class DataSet:
    """A conditional density p(y | x) to learn.

    Attributes:
        title: Name in figures.
        sample: Function that draws y of x, each [N].
        log_density: Function that gives log p(y | x) of x [B, 1], y [1, M] or [B, M] and the size of the labels' noise
            (0: clean).
        mcmc_step: Step length a of ML-MCMC.
        dsm_sigma: Standard deviation of DSM's noise.
    """

    title: str
    sample: Callable[[Tensor, torch.Generator], Tensor]
    log_density: Callable[[Tensor, Tensor, float], Tensor]
    mcmc_step: float
    dsm_sigma: float


DATA_SETS: Mapping[str, DataSet] = {
    "set1": DataSet("set 1: two modes, then skewed", _sample_split, _log_density_split, 0.05, 0.2),
    "set2": DataSet("set 2: one mode of growing width", _sample_funnel, _log_density_funnel, 0.0125, 0.075),
}


def training_pairs(name: str, count: int, seed: int, label_noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """x ~ U(-3, 3) and y ~ p(y | x), each [count] float32.

    Args:
        name: a key of `DATA_SETS`.
        label_noise: standard deviation of Gaussian noise added to y; the pairs without it are the same.
    """
    generator = torch.Generator().manual_seed(seed)
    x = LOW + (HIGH - LOW) * torch.rand(count, generator=generator)
    y = DATA_SETS[name].sample(x, generator)
    return x, y + label_noise * torch.randn(count, generator=generator)


def axis(cells: int) -> tuple[Tensor, float]:
    """`cells` equally spaced values [cells] of float64 from -3 to 3, for x and for y, and their distance."""
    return torch.linspace(LOW, HIGH, cells, dtype=torch.float64), (HIGH - LOW) / (cells - 1)


def true_log_density(name: str, cells: int, label_noise: float = 0.0) -> Tensor:
    """log p(y | x) [cells (x), cells (y)] of float64 on the grid; -inf where the density is zero.

    Args:
        label_noise: with it, the density that noisy labels follow: p convolved with N(0, label_noise^2).
    """
    values, _ = axis(cells)
    return DATA_SETS[name].log_density(values.unsqueeze(1), values.unsqueeze(0), label_noise).expand(cells, cells)
