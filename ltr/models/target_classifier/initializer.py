"""The filter initialiser: pool the target's features into a first filter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltr.ops.boxes import xywh_to_xyxy
from ltr.ops.prroi_pool import prroi_pool_grouped


class FilterInitializer(nn.Module):
    """3x3 convolution, Precise RoI pooling of the target box, mean over the train frames.

    Source: docs/reference.md, section 2.

    Args:
        feature_dim: channels C of the classification features.
        filter_size: K.
        feature_stride: pixels a feature cell.
        zero: start the convolution at zero weights (PrDiMP).
    """

    def __init__(self, feature_dim: int, filter_size: int = 4, feature_stride: int = 16, zero: bool = False) -> None:
        super().__init__()
        self.filter_size = filter_size
        self.feature_stride = feature_stride
        self.filter_conv = nn.Conv2d(feature_dim, feature_dim, kernel_size=3, padding=1)
        nn.init.zeros_(self.filter_conv.bias)  # type: ignore[arg-type]
        if zero:
            nn.init.zeros_(self.filter_conv.weight)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Initial filters.

        Args:
            features: [n, S, C, H, W], classification features of n train frames of S sequences.
            boxes: [n, S, 4] (x, y, w, h) in crop pixels.

        Returns:
            [S, C, K, K].
        """
        frames, sequences = features.shape[:2]
        maps = self.filter_conv(features.flatten(0, 1))
        corners = xywh_to_xyxy(boxes.reshape(frames * sequences, 1, 4))
        pooled = prroi_pool_grouped(maps, corners, self.filter_size, 1.0 / self.feature_stride)
        return torch.mean(pooled.reshape(frames, sequences, *pooled.shape[2:]), dim=0)
