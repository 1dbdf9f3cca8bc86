"""What a tracker computes of every crop, backbone and classification features, as one module with batch norm folded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ltr.models.tracking.dimpnet import DiMPNet
from ltr.models.tracking.tracking_net import BOX_LAYERS, TrackingNet

CLASSIFICATION = "classification"


class Extraction(nn.Module):
    """The box head's layers and, where the network has a classifier, the classification features.

    Args:
        net: in eval mode.
        dtype: type that its backbone computes in; features are float32 in any case.
    """

    def __init__(self, net: TrackingNet, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net, self.dtype = net, dtype
        self.inputs = {"samples": {0: "N", 2: "height", 3: "width"}}
        self.names = (*BOX_LAYERS, CLASSIFICATION) if isinstance(net, DiMPNet) else BOX_LAYERS

    def forward(self, samples: Tensor) -> tuple[Tensor, ...]:
        """What `names` says, [n, C, h, w] each, of samples [n, 3, S, S] in 0..255."""
        images = self.net.normalise(samples).to(dtype=self.dtype, memory_format=torch.channels_last)
        features = {name: feature.float() for name, feature in self.net.extract_backbone_features(images).items()}
        found = [features[name] for name in BOX_LAYERS]
        if isinstance(self.net, DiMPNet):
            found.append(self.net.extract_classification_feat(features).contiguous())
        return tuple(found)


@torch.no_grad()
def fold_batch_norm(module: nn.Module, example: Tensor) -> None:
    """Put every batch norm that follows a convolution into the convolution's weights, in place; eval mode only.

    Args:
        module: whose forward shows what follows what.
        example: an input of it.
    """
    made: list[tuple[Tensor, nn.Conv2d]] = []
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            made.append((output, layer))
        elif isinstance(layer, nn.BatchNorm2d):
            source = next((source for result, source in made if result is inputs[0]), None)
            if source is not None:
                pairs[layer] = source

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    module(example)
    for hook in hooks:
        hook.remove()
    names = {layer: name for name, layer in module.named_modules()}
    for norm, convolution in pairs.items():
        folded = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = folded.weight, folded.bias
        module.set_submodule(names[norm], nn.Identity())
