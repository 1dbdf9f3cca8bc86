"""What all tracking networks share: a backbone that knows how its images are normalised."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ltr.models.backbone.efficientnet_lite import EfficientNetLite0
from ltr.models.backbone.resnet import ResNet
from ltr.models.bbreg.box_head import BoxHead

BOX_LAYERS = ("layer2", "layer3")


class TrackingNet(nn.Module):
    """A network with a backbone, `feature_extractor`: images [N, 3, H, W] -> dict of features, and a box head."""

    bb_regressor: BoxHead
    _mean: Tensor
    _std: Tensor

    def __init__(self, feature_extractor: ResNet | EfficientNetLite0) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        shape = (1, 3, 1, 1)
        self.register_buffer("_mean", torch.tensor(feature_extractor.input_mean).reshape(shape), persistent=False)
        self.register_buffer("_std", torch.tensor(feature_extractor.input_std).reshape(shape), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Images as the backbone wants them. images: [N, 3, H, W] RGB in 0..255, uint8 or float -> float."""
        floating = images if images.is_floating_point() else images.to(self._mean.dtype)
        return (floating / 255 - self._mean) / self._std

    def extract_backbone_features(self, images: Tensor, layers: Sequence[str] = BOX_LAYERS) -> dict[str, Tensor]:
        """Backbone features by layer name. images: [N, 3, H, W], normalised."""
        return self.feature_extractor(images, layers)

    def extract_features(self, images: Tensor) -> dict[str, Tensor]:
        """Backbone features of several frames of several sequences: [n, S, 3, H, W] -> dict of [n, S, C, h, w]."""
        features = self.extract_backbone_features(images.flatten(0, 1))
        return {name: feature.unflatten(0, images.shape[:2]) for name, feature in features.items()}
