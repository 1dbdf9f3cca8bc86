"""Classification features: what the target filter is correlated with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ltr.errors import UserError
from ltr.models.backbone.resnet import BasicBlock


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
