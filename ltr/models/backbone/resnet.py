"""ResNet-18 and ResNet-50 in plain PyTorch, with torchvision's parameter names.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016. As in torchvision the stride of a
ResNet-50 stage sits in its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ltr.errors import UserError

STAGES = ("layer1", "layer2", "layer3", "layer4")


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18). features: [N, C, H, W]."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inputs, planes, stride)

    def forward(self, features: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(features)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + (features if self.downsample is None else self.downsample(features)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided) and 1x1 convolutions and a shortcut (ResNet-50). features: [N, C, H, W]."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(features)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return torch.relu(out + (features if self.downsample is None else self.downsample(features)))


class ResNet(nn.Module):
    """A ResNet that returns the features of named stages.

    The last stage and the ImageNet classifier belong to the state dict of public checkpoints and are built too, but
    computed only when they are asked for.
    """

    input_mean = (0.485, 0.456, 0.406)
    input_std = (0.229, 0.224, 0.225)

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = 64
        for index, (name, depth) in enumerate(zip(STAGES, depths)):
            planes = 64 * 2**index
            blocks: list[nn.Module] = []
            for k in range(depth):
                blocks.append(block(channels, planes, stride=2 if k == 0 and index > 0 else 1))
                channels = planes * block.expansion
            self.add_module(name, nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor, layers: Sequence[str] = ("layer2", "layer3")) -> dict[str, Tensor]:
        """Features of the named stages.

        Args:
            images: [N, 3, H, W], RGB in 0..1, normalised by ImageNet's mean and deviation.
            layers: any of 'layer1' (stride 4), 'layer2' (8), 'layer3' (16), 'layer4' (32), 'fc' ([N, 1000] logits).

        Raises:
            ValueError: for a layer that does not exist.
        """
        unknown = set(layers) - {*STAGES, "fc"}
        if unknown:
            raise UserError(f"unknown backbone layers {sorted(unknown)}; there are {[*STAGES, 'fc']}")
        found: dict[str, Tensor] = {}
        features = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        for name in STAGES:
            features = getattr(self, name)(features)
            if name in layers:
                found[name] = features
            if len(found) == len(set(layers)):
                return found
        found["fc"] = self.fc(features.mean(dim=(2, 3)))
        return found

    def freeze(self, names: Sequence[str]) -> None:
        """Stop the gradients of the named children ('conv1', 'bn1', 'layer1', ...). Raises ValueError for others."""
        children = dict(self.named_children())
        for name in names:
            if name not in children:
                raise UserError(f"cannot freeze '{name}': the backbone has {sorted(children)}")
            children[name].requires_grad_(False)


def resnet18() -> ResNet:
    """ResNet-18; layer2 has 128 channels, layer3 256."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet50() -> ResNet:
    """ResNet-50; layer2 has 512 channels, layer3 1024."""
    return ResNet(Bottleneck, (3, 4, 6, 3))
