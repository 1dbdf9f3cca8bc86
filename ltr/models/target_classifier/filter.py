"""Correlation of classification features with one target filter a sequence, and its adjoint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_filter(features: Tensor, filters: Tensor) -> Tensor:
    """Correlate every sequence's features with its filter.

    Args:
        features: [n, S, C, H, W], n frames of S sequences.
        filters: [S, C, K, K].

    Returns:
        Scores [n, S, H', W'] with H' = H + (K + 1) mod 2: padding is K // 2.
    """
    frames, sequences, channels, height, width = features.shape
    kernel = filters.shape[-1]
    stacked = features.reshape(frames, sequences * channels, height, width)
    return F.conv2d(stacked, filters, padding=kernel // 2, groups=sequences)


def apply_filter_transpose(features: Tensor, scores: Tensor, kernel: int) -> Tensor:
    """The adjoint of `apply_filter` in the filter: gradient of <apply_filter(features, w), scores> in w.

    Args:
        features: [n, S, C, H, W].
        scores: [n, S, H', W'].
        kernel: K.

    Returns:
        [S, C, K, K], summed over the frames.
    """
    frames, sequences, channels, height, width = features.shape
    stacked = features.reshape(frames, sequences * channels, height, width)
    weight = features.new_empty(sequences, channels, kernel, kernel)
    return torch.nn.grad.conv2d_weight(stacked, weight.shape, scores, padding=kernel // 2, groups=sequences)
