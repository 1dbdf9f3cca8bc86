"""A tiny COCO-style source folder, a frozen backbone with random weights, small settings, and a stand-in detector."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from experiments.common import NoiseSettings
from experiments.detection.detector import GivenBoxes
from experiments.detection.settings import QUICK, DetectionSettings, HeadSettings, RefinementSettings
from experiments.detection.small_data import JitterSettings, make_small
from ltr.models.backbone.efficientnet_lite import EfficientNetLite0


def write_source(folder: Path, images: int = 8) -> Path:
    """Bright rectangles on noise, with their boxes in a CSV: two an image, of a name and of a number as category."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    lines = ["image,x,y,w,h,category"]
    for k in range(images):
        pixels = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        for category, left in (("dog", 4), ("0", 34)):
            x, y = left + int(rng.integers(0, 6)), int(rng.integers(2, 14))
            w, h = int(rng.integers(12, 20)), int(rng.integers(14, 26))
            pixels[y : y + h, x : x + w] = (250, 200, 60) if category == "dog" else (60, 120, 250)
            lines.append(f"{k:03d}.png,{x},{y},{w},{h},{category}")
        cv2.imwrite(str(folder / "images" / f"{k:03d}.png"), pixels)
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder


def small_data(folder: Path, images: int = 8) -> Path:
    """The data set of `make_small` from `write_source`."""
    make_small(write_source(folder / "source", images), folder / "data", JitterSettings())
    return folder / "data"


def tiny_detector() -> GivenBoxes:
    """`GivenBoxes` on a backbone of fixed random weights."""
    torch.manual_seed(0)
    return GivenBoxes(backbone=EfficientNetLite0("layer3"))


def tiny_settings(**changes: object) -> DetectionSettings:
    """Settings of a second a head."""
    training = replace(QUICK.training, iterations=6, batch_size=2, decay_at=(4,), checkpoint_every=2, log_every=1)
    settings = replace(
        QUICK,
        noise=NoiseSettings(num_samples=6),
        head=HeadSettings(bins=3, hidden=8),
        training=training,
        refinement=RefinementSettings(steps=2, factors=(1.0, 16.0)),
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


class StandIn(nn.Module):
    """The parts of torchvision's Faster R-CNN that the study uses: images are doubled and padded to 64 x 64."""

    def __init__(self, channels: int = 4, bins: int = 3, hidden: int = 8) -> None:
        super().__init__()
        self.backbone = _Maps(channels)
        box_head = nn.Module()
        box_head.fc6, box_head.fc7 = nn.Linear(channels * bins**2, hidden), nn.Linear(hidden, hidden)
        self.roi_heads = nn.Module()
        self.roi_heads.box_head = box_head

    def transform(self, images: list[torch.Tensor]) -> tuple[SimpleNamespace, None]:
        scaled = [interpolate(image[None], scale_factor=2, mode="nearest")[0] for image in images]
        padded = torch.zeros(len(images), 3, 64, 64)
        for place, image in enumerate(scaled):
            padded[place, :, : image.shape[1], : image.shape[2]] = image
        return SimpleNamespace(tensors=padded, image_sizes=[tuple(image.shape[1:]) for image in scaled]), None

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        boxes = torch.tensor([[2.0, 3.0, 10.0, 9.0], [5.0, 5.0, 5.0, 9.0]])
        found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8]), "labels": torch.tensor([18, 1])}
        return [found for _ in images]


class _Maps(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels

    def forward(self, images: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        base = images.mean(1, keepdim=True).expand(-1, self.out_channels, -1, -1)
        levels = [(str(k), avg_pool2d(base, 4 * 2**k)) for k in range(4)]
        return OrderedDict([*levels, ("pool", levels[-1][1])])
