"""A tracker small enough for tests of behaviour, and videos that it can track: a coloured square on dim noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltr.models.bbreg.atom import AtomNet
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.target_classifier.classifier import FilterInitializer, TargetClassifier, classification_features
from ltr.models.target_classifier.optimizer import SteepestDescentGN
from ltr.models.tracking.dimpnet import DiMPNet


class PooledColours(nn.Module):
    """A backbone without weights: mean colours of 8x8 and 16x16 pixels."""

    input_mean = (0.2, 0.2, 0.2)
    input_std = (0.25, 0.25, 0.25)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        pooled = {"layer2": F.avg_pool2d(images, 8), "layer3": F.avg_pool2d(images, 16)}
        return {layer: pooled[layer] for layer in layers}


def tiny_dimpnet(filter_size: int = 4) -> DiMPNet:
    """A DiMP network on mean colours, with its real heads, in eval mode; the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = classification_features(3, 8, num_blocks=0, filter_size=filter_size)
        initializer = FilterInitializer(8, filter_size)
        optimizer = SteepestDescentGN(filter_size=filter_size, init_gauss_sigma=0.5)
        network = DiMPNet(
            PooledColours(),  # type: ignore[arg-type]
            TargetClassifier(features, initializer, optimizer),
            BoxHead((3, 3), (8, 8), (8, 8)),
        )
    return network.eval()


def tiny_atomnet() -> AtomNet:
    """An ATOM network on mean colours, with its real box head, in eval mode; the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AtomNet(PooledColours(), BoxHead((3, 3), (8, 8), (8, 8)))  # type: ignore[arg-type]
    return network.eval()


def square_video(
    boxes: Sequence[Sequence[int]], size: tuple[int, int] = (120, 160), colour: Sequence[int] = (220, 60, 40)
) -> list[np.ndarray]:
    """One uint8 RGB frame [h, w, 3] a box (x, y, w, h): a square of one colour over noise that stands still."""
    ground = np.random.default_rng(0).integers(20, 60, (*size, 3), dtype=np.uint8)
    frames = []
    for x, y, w, h in boxes:
        frame = ground.copy()
        frame[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = colour
        frames.append(frame)
    return frames
