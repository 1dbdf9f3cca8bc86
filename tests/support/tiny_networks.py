"""The networks of the recipes by their own constructors, but with a few channels instead of hundreds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from ltr.models.backbone.resnet import ResNet
from ltr.models.bbreg import atom
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.tracking import dimpnet
from ltr.models.tracking.tracking_net import TrackingNet

CHANNELS = 6


class NarrowResNet(nn.Module):
    """A stand-in for `ResNet`: its children, strides and features, one convolution a stage."""

    input_mean = ResNet.input_mean
    input_std = ResNet.input_std

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS, 3, stride=4, padding=1)
        self.bn1 = nn.BatchNorm2d(CHANNELS)
        for number in range(1, 5):
            convolution = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=1 if number == 1 else 2, padding=1)
            self.add_module(f"layer{number}", nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU()))
        self.fc = nn.Linear(CHANNELS, 10)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        features = self.layer1(torch.relu(self.bn1(self.conv1(images))))
        layer2 = self.layer2(features)
        found = {"layer2": layer2, "layer3": self.layer3(layer2)}
        return {name: found[name] for name in layers}

    freeze = ResNet.freeze


def make_networks_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all constructors of the ResNet networks build narrow ones during a test."""

    def head(channels: Sequence[int], *_: Sequence[int]) -> BoxHead:
        return BoxHead(channels, (8, 8), (8, 8))

    for name in ("resnet18", "resnet50"):
        monkeypatch.setattr(dimpnet, name, NarrowResNet)
    monkeypatch.setattr(dimpnet, "_CHANNELS", dict.fromkeys(("resnet18", "resnet50"), (CHANNELS, CHANNELS)))
    monkeypatch.setattr(dimpnet, "BoxHead", head)
    monkeypatch.setattr(atom, "resnet18", NarrowResNet)
    monkeypatch.setattr(atom, "BoxHead", lambda channels: head((CHANNELS, CHANNELS)))


def tiny_network(name: str = "dimp") -> TrackingNet:
    """One of them in eval mode whose batch norms do something."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patched:
        make_networks_narrow(patched)
        constructors = {"dimp": dimpnet.dimpnet18, "prdimp": dimpnet.klcedimpnet50, "atom": atom.atom_resnet18}
        net: TrackingNet = constructors[name](**({} if name == "atom" else {"out_feature_dim": 8}))
    net.eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 1.5)
    torch.nn.init.normal_(net.bb_regressor.iou_predictor.weight)
    return net
