"""Correlation of classification features with one target filter a sequence, and its adjoint.

Both are one matrix product over channels and a sum over the filter's taps: a grouped convolution with a single output
channel does the same arithmetic, but runs many times slower.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Pixels a cell of the classification features.
FEATURE_STRIDE = 16


def apply_filter(features: Tensor, filters: Tensor) -> Tensor:
    """Correlate every sequence's features with its filter.

    Args:
        features: [n, S, C, H, W], n frames of S sequences.
        filters: [S, C, K, K].

    Returns:
        Scores [n, S, H', W'] with H' = H + (K + 1) mod 2: padding is K // 2.
    """
    frames, sequences, _, *size = features.shape
    # While a graph is traced, a shape is made of tensors.
    height, width, kernel = (int(side) for side in (*size, filters.shape[-1]))
    # Every feature cell's response to every tap; a cell adds to the score that lies the mirrored tap away.
    taps = filters.flatten(2).flip(-1).transpose(1, 2)
    responses = torch.matmul(taps, features.flatten(3)).flatten(0, 1)
    even = (kernel + 1) % 2
    scores = F.fold(responses, (height + even, width + even), kernel, padding=kernel - 1 - kernel // 2)
    return scores.reshape(frames, sequences, height + even, width + even)


def apply_filter_transpose(features: Tensor, scores: Tensor, kernel: int) -> Tensor:
    """The adjoint of `apply_filter` in the filter: gradient of <apply_filter(features, w), scores> in w.

    Args:
        features: [n, S, C, H, W].
        scores: [n, S, H', W'].
        kernel: K.

    Returns:
        [S, C, K, K], summed over the frames.
    """
    frames, sequences, channels = features.shape[:3]
    # Views of the padded scores, because CUDA's unfold launches a kernel for every image.
    height, width = (int(size) - (kernel + 1) % 2 for size in scores.shape[2:])
    margin = kernel - 1 - kernel // 2
    padded = F.pad(scores, [margin] * 4)
    if torch.jit.is_tracing():
        # A graph may not know the size of what it unfolds.
        down, across = (torch.arange(kernel)[:, None] + torch.arange(side) for side in (height, width))
        windows = padded.flatten(2)[..., down[:, None, :, None] * (width + kernel - 1) + across[None, :, None, :]]
    else:
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    windows = windows.reshape(frames, sequences, kernel * kernel, height * width).transpose(2, 3)
    taps = torch.matmul(features.flatten(3), windows).sum(dim=0)
    return taps.flip(-1).reshape(sequences, channels, kernel, kernel)
