"""Training objectives of energy-based regression as pure functions in log space.

Source: docs/reference.md, section 1, paper section 3.

Every function returns the loss per image; the reduction over images is the caller's mean. `scores` are values of the
energy f, in any floating type; the loss is computed in float32 or better, without overflow for scores of +-1e4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def log_partition(scores: Tensor, log_noise: Tensor) -> Tensor:
    """Importance-sampled log of the partition function, log(1/M sum_m exp(f_m - q_m)).

    Args:
        scores: [B, M], f of samples from the noise distribution.
        log_noise: [B, M], q, the samples' log densities under it.

    Returns:
        [B].
    """
    return torch.logsumexp(_precise(scores) - log_noise, dim=-1) - math.log(scores.shape[-1])


def ml_is(annotation_score: Tensor, scores: Tensor, log_noise: Tensor) -> Tensor:
    """Negative log-likelihood of the annotation by importance sampling (ML-IS).

    Args:
        annotation_score: [B], f of the annotation.
        scores, log_noise: [B, M], f and log p_N of the samples.

    Returns:
        [B], logsumexp_m(f_m - q_m) - log M - f_0.
    """
    return log_partition(scores, log_noise) - _precise(annotation_score)


def kld_is(scores: Tensor, log_noise: Tensor, log_label: Tensor) -> Tensor:
    """KL divergence from the label density to the model by importance sampling, its constant left out (KLD-IS).

    Args:
        scores, log_noise: [B, M], f and log p_N of the samples.
        log_label: [B, M], log of the label density p(y | y_i) of the samples.

    Returns:
        [B], logsumexp_m(f_m - q_m) - log M - mean_m(f_m p(y_m | y_i) / p_N(y_m)).
    """
    expected_score = (_precise(scores) * (log_label - log_noise).exp()).mean(-1)
    return log_partition(scores, log_noise) - expected_score


def nce(positive_score: Tensor, positive_log_noise: Tensor, scores: Tensor, log_noise: Tensor) -> Tensor:
    """Noise contrastive estimation, ranking form; with a noisy positive it is NCE+.

    Args:
        positive_score: [B], f of the positive: the annotation (NCE), or annotation + nu with nu ~ p_beta (NCE+).
        positive_log_noise: [B], log p_N of the positive: of the unscaled noise in NCE+ too.
        scores, log_noise: [B, M], f and log p_N of the samples.

    Returns:
        [B], -log softmax_0 over m = 0..M of (f_m - q_m).
    """
    positive = _precise(positive_score) - positive_log_noise
    logits = torch.cat((positive.unsqueeze(-1), _precise(scores) - log_noise), dim=-1)
    return torch.logsumexp(logits, dim=-1) - positive


def ml_mcmc(annotation_score: Tensor, chain_scores: Tensor) -> Tensor:
    """Contrast of the annotation with samples of the model (ML-MCMC); its gradient is that of the likelihood.

    Args:
        annotation_score: [B], f of the annotation.
        chain_scores: [B, M], f of the Langevin chains' last points, which carry no gradient of their own.

    Returns:
        [B], mean_m f(y_L,m) - f_0.
    """
    return _precise(chain_scores).mean(-1) - _precise(annotation_score)


def score_matching(gradient: Tensor, hessian_trace: Tensor) -> Tensor:
    """Score matching (SM).

    Args:
        gradient: [B, D], gradient of f in y at the annotation.
        hessian_trace: [B], trace of the Hessian of f in y there.

    Returns:
        [B], trace + 0.5 ||gradient||^2.
    """
    return _precise(hessian_trace) + 0.5 * _precise(gradient).square().sum(-1)


def dsm(gradient: Tensor, offset: Tensor, sigma: float | Tensor) -> Tensor:
    """Denoising score matching (DSM).

    Args:
        gradient: [B, M, D], gradient of f in y at noisy points y~ ~ N(y_i, sigma^2 I).
        offset: [B, M, D], y~ - y_i.
        sigma: one standard deviation, or [D] of them.

    Returns:
        [B], mean_m ||gradient + offset / sigma^2||^2.
    """
    return (_precise(gradient) + offset / sigma**2).square().sum(-1).mean(-1)


def kl_grid(scores: Tensor, label_density: Tensor) -> Tensor:
    """KL divergence from a label density to the model on a grid of unit cells, its constant left out.

    Args:
        scores: [..., H, W], f on the grid.
        label_density: [..., H, W], summing to 1.

    Returns:
        [...], log(sum exp f) - sum f p.
    """
    flat = _precise(scores).flatten(-2)
    return torch.logsumexp(flat, dim=-1) - (flat * label_density.flatten(-2)).sum(-1)


def lb_hinge(scores: Tensor, label: Tensor, threshold: float = 0.05) -> Tensor:
    """DiMP's least squares with a hinge on the background: only positive scores cost where the label is low.

    Args:
        scores, label: [..., H, W].
        threshold: cells with a label below it are background, and count as label 0.

    Returns:
        [...], mean over the map of (score - label)^2 on the target and max(score, 0)^2 on the background.
    """
    scores = _precise(scores)
    error = torch.where(label < threshold, scores.clamp(min=0), scores - label)
    return error.square().mean((-2, -1))
