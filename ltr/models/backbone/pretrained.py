"""ImageNet weights for the ResNets, from torchvision's public files."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import torch

from ltr.models.backbone.resnet import ResNet

# The hash in a name is the beginning of the file's sha256, which torch.hub checks.
IMAGENET_URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
}


def load_imagenet(backbone: ResNet, name: str) -> None:
    """Load ImageNet weights into a ResNet, fetching them once into torch.hub's cache.

    Raises:
        RuntimeError: offline, or the file does not match its checksum; says where to put the file by hand.
    """
    url = IMAGENET_URLS[name]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        weights = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise RuntimeError(
            f"cannot get the ImageNet weights of {name}: {error}. Download {url} elsewhere and put it into {folder}, "
            "or build the network with backbone_pretrained=False"
        ) from error
    backbone.load_state_dict(weights, strict=True)
