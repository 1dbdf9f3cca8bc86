"""The target classifier: features, filter initialiser and filter optimiser in one module."""

from __future__ import annotations

from torch import Tensor, nn

from ltr.models.target_classifier.filter import apply_filter
from ltr.models.target_classifier.initializer import FilterInitializer


class TargetClassifier(nn.Module):
    """Learns a correlation filter from train frames and scores test frames with it (DiMP, section 3).

    Args:
        feature_extractor: [N, C', H, W] backbone features -> [N, C, H, W] classification features.
        filter_initializer, filter_optimizer: see their modules.
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
