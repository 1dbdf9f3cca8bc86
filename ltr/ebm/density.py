"""What an energy says as a density: normalised on a grid, moments, uncertainty, divergence. All in log space."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def grid_log_density(scores: Tensor, cell_volume: float, dims: int = 1) -> Tensor:
    """Log density log p(y | x) = f - log Z on a regular grid over y.

    Args:
        scores: [..., *grid], f in the middle of every cell; the last `dims` dimensions are the grid.
        cell_volume: volume of a grid cell.

    Returns:
        [..., *grid]; exp of it sums to 1 / cell_volume.
    """
    flat = scores.flatten(-dims)
    log_partition = torch.logsumexp(flat, dim=-1, keepdim=True) + math.log(cell_volume)
    return (flat - log_partition).reshape(scores.shape)


def grid_kl_divergence(log_target: Tensor, log_model: Tensor, cell_volume: float) -> Tensor:
    """KL(target || model) [...] of two log densities [..., cells]; cells where the target is zero (-inf) count 0."""
    weight = log_target.exp() * cell_volume
    return torch.where(weight > 0, weight * (log_target - log_model), torch.zeros_like(weight)).sum(-1)


def grid_entropy(log_density: Tensor, cell_volume: float, dims: int = 1) -> Tensor:
    """Differential entropy [...] in nats of a log density [..., *grid]."""
    weight = log_density.exp() * cell_volume
    terms = torch.where(weight > 0, -weight * log_density, torch.zeros_like(weight))
    return terms.flatten(-dims).sum(-1)


def moments(points: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of weighted points.

    On a grid the log weights are the scores f; for samples of a noise distribution they are f - log p_N
    (self-normalised importance sampling). The square root of the covariance's diagonal is the model's uncertainty.

    Args:
        points: [..., M, D].
        log_weights: [..., M], up to a constant.

    Returns:
        (mean [..., D], covariance [..., D, D]).
    """
    weights = torch.softmax(log_weights, dim=-1).unsqueeze(-1)
    mean = (weights * points).sum(-2)
    centred = points - mean.unsqueeze(-2)
    return mean, (weights * centred).transpose(-1, -2) @ centred


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2 [...] of log weights [..., M]: from 1 (one sample holds all) to M (equal weights)."""
    return (2 * torch.logsumexp(log_weights, -1) - torch.logsumexp(2 * log_weights, -1)).exp()
