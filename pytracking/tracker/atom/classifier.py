"""ATOM's target model: features compressed by a 1x1 convolution, then one filter; both learned while tracking.

Source: Danelljan et al., "ATOM", CVPR 2019, section 3.2; docs/reference.md, section 4.
 S is the sample's side, F the feature
map's, K the filter's; a score map has F' = F + (K + 1) mod 2 cells on a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ltr.models.target_classifier.filter import apply_filter
from pytracking.tracker.atom.conjugate_gradient import gauss_newton

_EPSILON = 1e-10


@dataclass(frozen=True)
class ClassifierParameters:
    """How the two layers are learned; names and defaults as in the public parameter file of ATOM.

    Attributes:
        compressed_dim: channels D after the first layer.
        kernel_size: side K of the filter in cells.
        output_sigma_factor: standard deviation of the Gaussian label over the square root of the target's area.
        response_activation: function of the scores before they are compared with the label: 'mlu' or 'none'.
        mlu_min_value: the activation's lower bound is minus this.
        filter_reg, projection_reg: weights of the squared norms of the filter and of the first layer.
        init_CG_iter, init_GN_iter: iterations of conjugate gradients on the first frame, and the Gauss-Newton rounds
            that they are divided among.
        CG_iter: iterations of an update every `train_skipping` frames.
        hard_negative_CG_iter: iterations on a hard negative.
    """

    compressed_dim: int = 64
    kernel_size: int = 4
    output_sigma_factor: float = 1 / 4
    response_activation: str = "mlu"
    mlu_min_value: float = 0.05
    filter_reg: float = 1e-1
    projection_reg: float = 1e-4
    init_CG_iter: int = 60
    init_GN_iter: int = 6
    CG_iter: int = 5
    hard_negative_CG_iter: int = 5


def normalise_power(features: Tensor) -> Tensor:
    """Features [n, C, F, F] divided by their root mean square, each sample by its own."""
    return features * torch.rsqrt(features.square().mean(dim=(1, 2, 3), keepdim=True) + _EPSILON)


def mlu(scores: Tensor, minimum: float) -> Tensor:
    """elu(leaky_relu(x, slope 1/minimum), alpha minimum): x where positive, above -minimum elsewhere, slope 1 at 0."""
    return F.elu(F.leaky_relu(scores, 1 / minimum), minimum)


def start_layers(
    channels: int, parameters: ClassifierParameters, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Random normal layers: projection [D, channels] that keeps variance, filter [1, D, K, K] of scores near zero.

    Drawn on the CPU from `generator`, None for torch's default one; the projection first.
    """
    size, dim = parameters.kernel_size, parameters.compressed_dim
    projection = torch.randn(dim, channels, generator=generator) / math.sqrt(channels)
    filters = torch.randn(1, dim, size, size, generator=generator)
    return projection, filters / filters.numel()


def compress(projection: Tensor, features: Tensor) -> Tensor:
    """The first layer: features [n, C, F, F] -> [n, D, F, F]; projection [D, C], or [n, D, C] for one each."""
    return torch.matmul(projection, features.flatten(2)).unflatten(2, features.shape[2:])


def score_maps(filters: Tensor, compressed: Tensor) -> Tensor:
    """The second layer: compressed features [n, D, F, F] -> scores [n, F', F'] before the activation."""
    return apply_filter(compressed[:, None], filters)[:, 0]


def weighted_errors(scores: Tensor, labels: Tensor, weights: Tensor, parameters: ClassifierParameters) -> Tensor:
    """The data's residuals sqrt(weight) (act(score) - label). scores, labels: [n, F', F'], weights: [n]."""
    if parameters.response_activation == "mlu":
        scores = mlu(scores, parameters.mlu_min_value)
    return weights.sqrt()[:, None, None] * (scores - labels)


def fit_layers(
    projection: Tensor,
    filters: Tensor,
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    parameters: ClassifierParameters,
) -> tuple[Tensor, Tensor]:
    """Learn both layers, as on the first frame.

    Minimises sum_j weight_j ||act(score_j) - label_j||^2 + filter_reg ||filter||^2 + projection_reg ||projection||^2.

    Args:
        projection: [D, C].
        filters: [1, D, K, K].
        features: [n, C, F, F].
        labels: [n, F', F'].
        weights: [n].

    Returns:
        The learned projection and filter.
    """
    filter_factor, projection_factor = math.sqrt(parameters.filter_reg), math.sqrt(parameters.projection_reg)

    def residuals(projection: Tensor, filters: Tensor) -> tuple[Tensor, ...]:
        errors = weighted_errors(score_maps(filters, compress(projection, features)), labels, weights, parameters)
        return errors, filter_factor * filters, projection_factor * projection

    projection, filters = gauss_newton(
        residuals,
        (projection, filters),
        rounds=parameters.init_GN_iter,
        iterations=parameters.init_CG_iter // parameters.init_GN_iter,
        preconditioner=(1 / parameters.projection_reg, 1 / parameters.filter_reg),
    )
    return projection, filters


def fit_filter(
    filters: Tensor,
    compressed: Tensor,
    labels: Tensor,
    weights: Tensor,
    parameters: ClassifierParameters,
    iterations: int,
) -> Tensor:
    """Learn the filter alone, in one Gauss-Newton round. compressed: [n, D, F, F]; the rest as in `fit_layers`."""
    filter_factor = math.sqrt(parameters.filter_reg)

    def residuals(filters: Tensor) -> tuple[Tensor, ...]:
        errors = weighted_errors(score_maps(filters, compressed), labels, weights, parameters)
        return errors, filter_factor * filters

    (filters,) = gauss_newton(
        residuals, (filters,), rounds=1, iterations=iterations, preconditioner=(1 / parameters.filter_reg,)
    )
    return filters
