"""The box head: a score for every box of an image, given the target in a reference image.

With IoU regression as its objective this is ATOM's IoU-Net; trained by an energy-based objective its score is the
energy f(x, y) of the paper. The module is one and the same. Source: Danelljan et al., "ATOM", CVPR 2019, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ltr.ops.boxes import xywh_to_xyxy
from ltr.ops.prroi_pool import prroi_pool_grouped

Modulation = tuple[Tensor, Tensor]

_STRIDES = (8, 16)
_REFERENCE_BINS = (3, 1)
_TEST_BINS = (5, 3)


def _conv_block(inputs: int, outputs: int, kernel: int = 3, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class LinearBlock(nn.Module):
    """Linear, batch norm, ReLU over pooled features. features: [R, C, h, w] -> [R, outputs]."""

    def __init__(self, inputs: int, outputs: int, bins: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs * bins * bins, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.bn(self.linear(features.flatten(1))))


class Level(NamedTuple):
    """One layer that boxes are pooled from: its stride in pixels, bins a side, test convolutions and linear block."""

    stride: int
    bins: int
    convolutions: tuple[nn.Sequential, ...]
    block: LinearBlock


class BoxHead(nn.Module):
    """Scores boxes by modulated, Precise-RoI-pooled features of two layers.

    Args:
        input_dim: channels of layer2 (stride 8) and layer3 (stride 16).
        pred_input_dim: channels after the test branch's convolutions, one a layer.
        pred_inter_dim: outputs of the two fully connected blocks.
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (128, 256),
        pred_input_dim: Sequence[int] = (256, 256),
        pred_inter_dim: Sequence[int] = (256, 256),
    ) -> None:
        super().__init__()
        reference3 = pred_input_dim[0] // 2
        reference4 = pred_input_dim[0]
        self.conv3_1r = _conv_block(input_dim[0], reference3)
        self.conv3_1t = _conv_block(input_dim[0], pred_input_dim[0])
        self.conv3_2t = _conv_block(pred_input_dim[0], pred_input_dim[0])
        self.fc3_1r = _conv_block(reference3, reference4, kernel=3, padding=0)
        self.conv4_1r = _conv_block(input_dim[1], reference4)
        self.conv4_1t = _conv_block(input_dim[1], pred_input_dim[1])
        self.conv4_2t = _conv_block(pred_input_dim[1], pred_input_dim[1])
        self.fc34_3r = _conv_block(2 * reference4, pred_input_dim[0], kernel=1, padding=0)
        self.fc34_4r = _conv_block(2 * reference4, pred_input_dim[1], kernel=1, padding=0)
        self.fc3_rt = LinearBlock(pred_input_dim[0], pred_inter_dim[0], _TEST_BINS[0])
        self.fc4_rt = LinearBlock(pred_input_dim[1], pred_inter_dim[1], _TEST_BINS[1])
        self.iou_predictor = nn.Linear(sum(pred_inter_dim), 1)
        self._initialise()

    @property
    def levels(self) -> tuple[Level, ...]:
        """What the test branch computes, level by level."""
        return (
            Level(_STRIDES[0], _TEST_BINS[0], (self.conv3_1t, self.conv3_2t), self.fc3_rt),
            Level(_STRIDES[1], _TEST_BINS[1], (self.conv4_1t, self.conv4_2t), self.fc4_rt),
        )

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        # Scores start near zero, where every objective is at its uninformed value.
        nn.init.normal_(self.iou_predictor.weight, std=1e-3)

    def get_modulation(self, features: Sequence[Tensor], boxes: Tensor) -> Modulation:
        """Modulation vectors of the reference target.

        Args:
            features: (layer2 [N, C2, H, W], layer3 [N, C3, H/2, W/2]) of the reference images.
            boxes: [N, 4] (x, y, w, h) in crop pixels.

        Returns:
            Two tensors [N, C], one a layer of the test branch.
        """
        corners = xywh_to_xyxy(boxes).unsqueeze(1)
        layer2 = self._pool(self.conv3_1r(features[0]), corners, 0, _REFERENCE_BINS)
        layer3 = self._pool(self.conv4_1r(features[1]), corners, 1, _REFERENCE_BINS)
        joined = torch.cat((self.fc3_1r(layer2), layer3), dim=1)
        return self.fc34_3r(joined).flatten(1), self.fc34_4r(joined).flatten(1)

    def get_iou_feat(self, features: Sequence[Tensor]) -> Modulation:
        """Features that boxes are pooled from: (layer2, layer3) of the test images, [N, C, H, W] each."""
        return self.conv3_2t(self.conv3_1t(features[0])), self.conv4_2t(self.conv4_1t(features[1]))

    def predict_iou(self, modulation: Sequence[Tensor], features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Score boxes: the energy f (or the predicted IoU in [-1, 1], where IoU regression trained the head).

        Args:
            modulation: from `get_modulation`, [N, C] each.
            features: from `get_iou_feat`, [N, C, H, W] each.
            boxes: [N, M, 4] (x, y, w, h) in crop pixels.

        Returns:
            [N, M].
        """
        return self.score(self.modulate(modulation, features), boxes)

    @staticmethod
    def modulate(modulation: Sequence[Tensor], features: Sequence[Tensor]) -> Modulation:
        """Features [N, C, H, W] weighed by channel for the target; once an image, however often boxes are scored."""
        return features[0] * modulation[0][..., None, None], features[1] * modulation[1][..., None, None]

    def score(self, modulated: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Scores [N, M] of boxes [N, M, 4] (x, y, w, h) in crop pixels, on features from `modulate`."""
        corners = xywh_to_xyxy(boxes)
        hidden = [
            block(self._pool(feature, corners, level, _TEST_BINS))
            for level, (block, feature) in enumerate(zip((self.fc3_rt, self.fc4_rt), modulated))
        ]
        # Scores are compared at differences far below their size: bfloat16 would round those away.
        with torch.autocast(boxes.device.type, enabled=False):
            return self.iou_predictor(torch.cat(hidden, dim=1).to(boxes.dtype)).reshape(boxes.shape[:2])

    def forward(
        self, train_features: Sequence[Tensor], test_features: Sequence[Tensor], train_boxes: Tensor, proposals: Tensor
    ) -> Tensor:
        """Scores of proposals in test frames, the target taken from the first train frame.

        Args:
            train_features, test_features: (layer2, layer3), each [n, S, C, H, W].
            train_boxes: [n, S, 4] (x, y, w, h) in crop pixels.
            proposals: [n_test, S, M, 4].

        Returns:
            [n_test, S, M].
        """
        frames, sequences, count = proposals.shape[:3]
        modulation = self.get_modulation([feature[0] for feature in train_features], train_boxes[0])
        features = self.get_iou_feat([feature.flatten(0, 1) for feature in test_features])
        repeated = (modulation[0].repeat(frames, 1), modulation[1].repeat(frames, 1))
        scores = self.predict_iou(repeated, features, proposals.reshape(frames * sequences, count, 4))
        return scores.reshape(frames, sequences, count)

    @staticmethod
    def _pool(features: Tensor, corners: Tensor, level: int, bins: Sequence[int]) -> Tensor:
        return prroi_pool_grouped(features, corners, bins[level], 1.0 / _STRIDES[level]).flatten(0, 1)
