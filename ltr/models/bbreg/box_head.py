"""The box head: a score for every box of an image, given the target in a reference image.

With IoU regression as its objective this is ATOM's IoU-Net; trained by an energy-based objective its score is the
energy f(x, y) of the paper. The module is one and the same. Source: Danelljan et al., "ATOM", CVPR 2019, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ltr.errors import UserError
from ltr.ops.boxes import xywh_to_xyxy
from ltr.ops.prroi_pool import prroi_pool_grouped

# One tensor [N, C] a level.
Modulation = tuple[Tensor, ...]


class LevelSettings(NamedTuple):
    """A layer that boxes are pooled from.

    Attributes:
        name: its number in the names of parameters.
        stride: pixels from cell to cell.
        bins: number of bins along a side of a box in test images.
        reference_bins: the same of the target in reference images.
        offset: pixel at which the first cell lies. A token stands for the middle of its patch.
    """

    name: str
    stride: int
    bins: int
    reference_bins: int
    offset: float = 0.0


# A CNN's layer2 and layer3 (ATOM, section 3.1), and the tokens of a ViT/16.
CNN_LEVELS = (LevelSettings("3", 8, 5, 3), LevelSettings("4", 16, 3, 1))
TOKEN_LEVELS = (LevelSettings("4", 16, 5, 3, offset=8.0),)


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
    """What a level computes for test images: its settings, its two convolutions and its linear block."""

    settings: LevelSettings
    convolutions: tuple[nn.Sequential, ...]
    block: LinearBlock


class BoxHead(nn.Module):
    """Scores boxes by modulated, Precise-RoI-pooled features of one or several layers.

    Args:
        input_dim: channels of the layers, by default of layer2 (stride 8) and layer3 (stride 16).
        pred_input_dim: channels after the test branch's convolutions, one a layer.
        pred_inter_dim: outputs of the fully connected blocks, one a layer.
        levels: the layers.

    Raises:
        UserError: numbers of channels that are not one a level.
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (128, 256),
        pred_input_dim: Sequence[int] = (256, 256),
        pred_inter_dim: Sequence[int] = (256, 256),
        levels: Sequence[LevelSettings] = CNN_LEVELS,
    ) -> None:
        super().__init__()
        if not len(input_dim) == len(pred_input_dim) == len(pred_inter_dim) == len(levels):
            raise UserError(f"the box head has {len(levels)} levels: give it so many numbers of channels")
        self._settings = tuple(levels)
        self._joined = "".join(level.name for level in levels)
        width = pred_input_dim[0]
        for level, inputs, outputs in zip(levels, input_dim, pred_input_dim):
            reference = width if level.reference_bins == 1 else width // 2
            self.add_module(f"conv{level.name}_1r", _conv_block(inputs, reference))
            self.add_module(f"conv{level.name}_1t", _conv_block(inputs, outputs))
            self.add_module(f"conv{level.name}_2t", _conv_block(outputs, outputs))
            if level.reference_bins > 1:
                block = _conv_block(reference, width, kernel=level.reference_bins, padding=0)
                self.add_module(f"fc{level.name}_1r", block)
        for level, outputs in zip(levels, pred_input_dim):
            block = _conv_block(len(levels) * width, outputs, kernel=1, padding=0)
            self.add_module(f"fc{self._joined}_{level.name}r", block)
        for level, outputs, hidden in zip(levels, pred_input_dim, pred_inter_dim):
            self.add_module(f"fc{level.name}_rt", LinearBlock(outputs, hidden, level.bins))
        self.iou_predictor = nn.Linear(sum(pred_inter_dim), 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        # Scores start near zero, where every objective is at its uninformed value.
        nn.init.normal_(self.iou_predictor.weight, std=1e-3)

    @property
    def levels(self) -> tuple[Level, ...]:
        """What the test branch computes, level by level."""
        return tuple(
            Level(
                level,
                (getattr(self, f"conv{level.name}_1t"), getattr(self, f"conv{level.name}_2t")),
                getattr(self, f"fc{level.name}_rt"),
            )
            for level in self._settings
        )

    def get_modulation(self, features: Sequence[Tensor], boxes: Tensor) -> Modulation:
        """Modulation vectors of the reference target.

        Args:
            features: [N, C, H, W] a level, of the reference images.
            boxes: [N, 4] (x, y, w, h) in crop pixels.

        Returns:
            [N, C] a level of the test branch.
        """
        corners = xywh_to_xyxy(boxes).unsqueeze(1)
        found = []
        for level, layer in zip(self._settings, features):
            convolved = getattr(self, f"conv{level.name}_1r")(layer)
            pooled = self._pool(convolved, corners, level, level.reference_bins)
            found.append(pooled if level.reference_bins == 1 else getattr(self, f"fc{level.name}_1r")(pooled))
        joined = torch.cat(found, dim=1)
        blocks = (getattr(self, f"fc{self._joined}_{level.name}r") for level in self._settings)
        return tuple(block(joined).flatten(1) for block in blocks)

    def get_iou_feat(self, features: Sequence[Tensor]) -> Modulation:
        """Features that boxes are pooled from: of the layers of the test images, [N, C, H, W] a level."""
        made = []
        for level, layer in zip(self.levels, features):
            for convolution in level.convolutions:
                layer = convolution(layer)
            made.append(layer)
        return tuple(made)

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
        return tuple(feature * weights[..., None, None] for feature, weights in zip(features, modulation))

    def score(self, modulated: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Scores [N, M] of boxes [N, M, 4] (x, y, w, h) in crop pixels, on features from `modulate`."""
        corners = xywh_to_xyxy(boxes)
        hidden = [
            level.block(self._pool(feature, corners, level.settings, level.settings.bins))
            for level, feature in zip(self.levels, modulated)
        ]
        # Scores are compared at differences far below their size: bfloat16 would round those away.
        with torch.autocast(boxes.device.type, enabled=False):
            return self.iou_predictor(torch.cat(hidden, dim=1).to(boxes.dtype)).reshape(boxes.shape[:2])

    def forward(
        self, train_features: Sequence[Tensor], test_features: Sequence[Tensor], train_boxes: Tensor, proposals: Tensor
    ) -> Tensor:
        """Scores of proposals in test frames, the target taken from the first train frame.

        Args:
            train_features, test_features: [n, S, C, H, W] a level.
            train_boxes: [n, S, 4] (x, y, w, h) in crop pixels.
            proposals: [n_test, S, M, 4].

        Returns:
            [n_test, S, M].
        """
        frames, sequences = proposals.shape[:2]
        modulation = self.get_modulation([feature[0] for feature in train_features], train_boxes[0])
        features = self.get_iou_feat([feature.flatten(0, 1) for feature in test_features])
        repeated = [weights.repeat(frames, 1) for weights in modulation]
        return self.predict_iou(repeated, features, proposals.flatten(0, 1)).unflatten(0, (frames, sequences))

    @staticmethod
    def _pool(features: Tensor, corners: Tensor, level: LevelSettings, bins: int) -> Tensor:
        # Pooling takes cell i to lie at i strides.
        placed = corners - level.offset if level.offset else corners
        return prroi_pool_grouped(features, placed, bins, 1.0 / level.stride).flatten(0, 1)
