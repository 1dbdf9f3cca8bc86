"""The target classifier: features, filter initialiser and filter optimiser in one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltr.models.target_classifier.filter import apply_filter
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


class TargetClassifier(nn.Module):
    """Learns a correlation filter from train frames and scores test frames with it (DiMP, section 3).

    Args:
        feature_extractor: [N, C', H, W] backbone features -> [N, C, H, W] classification features.
        filter_initializer, filter_optimizer: give the first filter and improve it.
    """

    def __init__(
        self, feature_extractor: nn.Module, filter_initializer: FilterInitializer, filter_optimizer: nn.Module
    ) -> None:
        super().__init__()
        self.filter_size = filter_initializer.filter_size
        self.filter_initializer = filter_initializer
        self.filter_optimizer = filter_optimizer
        self.feature_extractor = feature_extractor

    def get_filter(
        self, features: Tensor, boxes: Tensor, sample_weight: Tensor | None = None, num_iter: int | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Initialise and optimise one filter a sequence.

        Args:
            features: [n, S, C, H, W] classification features of the train frames.
            boxes: [n, S, 4] (x, y, w, h) in crop pixels.
            sample_weight: [n, S] or None.

        Returns:
            The filters [S, C, K, K] and all iterates, the initial one first.
        """
        return self.filter_optimizer(
            self.filter_initializer(features, boxes), features, boxes, sample_weight=sample_weight, num_iter=num_iter
        )

    def classify(self, filters: Tensor, features: Tensor) -> Tensor:
        """Score maps. filters: [S, C, K, K], features: [n, S, C, H, W] -> [n, S, H', W']."""
        return apply_filter(features, filters)

    def forward(self, train_features: Tensor, test_features: Tensor, train_boxes: Tensor) -> list[Tensor]:
        """Score maps of the test frames under every iterate of the filter.

        Args:
            train_features, test_features: [n, S, C', H, W] backbone features.
            train_boxes: [n, S, 4] (x, y, w, h) in crop pixels.

        Returns:
            A list, initial filter first, of [n_test, S, H', W'].
        """
        train = self._features(train_features)
        test = self._features(test_features)
        _, iterates = self.get_filter(train, train_boxes)
        return [self.classify(filters, test) for filters in iterates]

    def _features(self, features: Tensor) -> Tensor:
        frames, sequences = features.shape[:2]
        extracted = self.feature_extractor(features.flatten(0, 1))
        return extracted.reshape(frames, sequences, *extracted.shape[1:])
