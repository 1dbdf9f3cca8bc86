"""Pre-trained backbones: torchvision's ImageNet weights, checked, in torch's cache; and MAE's, put there by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from ltr.admin.torch_file import load_torch_file, tensors_of
from ltr.errors import CheckpointError, PretrainedWeightsError
from ltr.models.backbone.resnet import ResNet
from ltr.models.backbone.vit import OneStreamViT

# By torchvision's convention the end of a name is the beginning of the file's sha256.
IMAGENET_URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
}
MAE_URL = "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth"


def imagenet_file(name: str) -> Path:
    """Where the weights of 'resnet18' or 'resnet50' lie or belong: torch's cache, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_URLS[name].rsplit("/", 1)[1]


def load_imagenet(backbone: ResNet, name: str) -> None:
    """Load ImageNet weights into a ResNet; they are downloaded, with a progress bar, unless they are there already.

    Args:
        name: 'resnet18' or 'resnet50'.

    Raises:
        PretrainedWeightsError: offline, or a file that is not the right one; the message says where to put it by hand.
    """
    url, path = IMAGENET_URLS[name], imagenet_file(name)
    if not path.is_file():
        _download(name, url, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(_hash_prefix(url)):
        raise PretrainedWeightsError(
            f"{path} is not the file of {url}: its sha256 begins with {digest[:8]}, not {_hash_prefix(url)}. Delete it "
            "to download it again, or put the right file there"
        )
    try:
        weights = tensors_of(load_torch_file(path), str(path))
    except CheckpointError as error:
        raise PretrainedWeightsError(f"these are no ImageNet weights: {error}") from error
    backbone.load_state_dict(weights, strict=True)


def load_mae(backbone: OneStreamViT) -> None:
    """Load the weights of a ViT-B/16 that was pre-trained as a masked autoencoder (docs/reference.md, section 10).

    Nothing is downloaded: no checksum of the file is published, and its licence may forbid your use.

    Raises:
        PretrainedWeightsError: no such file, or one that does not hold the transformer's weights under `model`.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / MAE_URL.rsplit("/", 1)[1]
    if not path.is_file():
        raise PretrainedWeightsError(
            f"there is no {path}: read the licence of facebookresearch/mae, fetch {MAE_URL} and put it there, or build "
            "the network with backbone_pretrained=False"
        )
    try:
        root = load_torch_file(path)
        backbone.load_pretrained(tensors_of(root.get("model") if isinstance(root, dict) else None, "'model'"))
    except (CheckpointError, KeyError, RuntimeError) as error:
        raise PretrainedWeightsError(f"{path} holds no weights of this transformer: {error}") from error


def _download(name: str, url: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # To a temporary name beside the target, renamed once the checksum is right.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=_hash_prefix(url), progress=True)
    except (OSError, RuntimeError) as error:
        raise PretrainedWeightsError(
            f"cannot download the ImageNet weights of {name}: {error}. Fetch {url} on a machine with internet and "
            f"put it at {path}, or build the network with backbone_pretrained=False"
        ) from error


def _hash_prefix(url: str) -> str:
    return url.rsplit("-", 1)[1].removesuffix(".pth")
