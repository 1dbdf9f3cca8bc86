"""The target classifier: features, filter initialiser and filter optimiser in one module; and what its features are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ltr.errors import UserError
from ltr.models.backbone.resnet import BasicBlock
from ltr.models.target_classifier.filter import FEATURE_STRIDE, apply_filter
from ltr.ops.boxes import xywh_to_xyxy
from ltr.ops.prroi_pool import prroi_pool_grouped


class FilterInitializer(nn.Module):
    """3x3 convolution, Precise RoI pooling of the target box, mean over the train frames.

    Source: docs/reference.md, section 2.

    Args:
        feature_dim: channels C of the classification features.
        filter_size: K.
        zero: start the convolution at zero weights (PrDiMP).
    """

    def __init__(self, feature_dim: int, filter_size: int = 4, zero: bool = False) -> None:
        super().__init__()
        self.filter_size = filter_size
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
        maps = self.filter_conv(features.flatten(0, 1))
        corners = xywh_to_xyxy(boxes.reshape(-1, 1, 4))
        pooled = prroi_pool_grouped(maps, corners, self.filter_size, 1.0 / FEATURE_STRIDE)
        return pooled[:, 0].unflatten(0, features.shape[:2]).mean(dim=0)


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
        return self.feature_extractor(features.flatten(0, 1)).unflatten(0, features.shape[:2])


class InstanceL2Norm(nn.Module):
    """Scale every sample to a fixed energy: x * scale * sqrt(CHW / (sum x^2 + 1e-5)). features: [N, C, H, W]."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        size = features.shape[1] * features.shape[2] * features.shape[3]
        energy = features.square().sum(dim=(1, 2, 3), keepdim=True)
        return features * (self.scale * torch.sqrt(size / (energy + 1e-5)))


def classification_features(
    input_dim: int,
    output_dim: int,
    *,
    num_blocks: int,
    norm: bool = True,
    final_conv: bool = True,
    filter_size: int = 4,
) -> nn.Sequential:
    """Residual blocks, a 3x3 convolution without bias, and instance L2 normalisation (docs/reference.md, section 2).

    Args:
        input_dim, output_dim: channels of the backbone's and of the classification features.
        num_blocks: residual basic blocks before the convolution (DiMP-18: 1, DiMP-50: 0).
        norm: normalise with scale sqrt(1 / (output_dim * filter_size^2)).

    Returns:
        A module from [N, input_dim, H, W] to [N, output_dim, H, W].
    """
    layers: list[nn.Module] = [BasicBlock(input_dim, input_dim) for _ in range(num_blocks)]
    if final_conv:
        layers.append(nn.Conv2d(input_dim, output_dim, kernel_size=3, padding=1, bias=False))
    elif output_dim != input_dim:
        raise UserError(f"without the final convolution out_feature_dim must be {input_dim}, not {output_dim}")
    if norm:
        layers.append(InstanceL2Norm(scale=math.sqrt(1.0 / (output_dim * filter_size**2))))
    return nn.Sequential(*layers)
