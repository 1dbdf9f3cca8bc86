"""The energy head: a box's features, pooled from a pyramid, to a score a class, and the energy over boxes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from experiments.detection.settings import HeadSettings
from ltr.admin.checkpoint import check_weights, read_header, read_tensors
from ltr.admin.files import whole_file
from ltr.errors import CheckpointError, UserError
from ltr.ops.boxes import xywh_to_xyxy
from ltr.ops.prroi_pool import prroi_pool_grouped

_FORMAT = "ebm-tracking-detection-1"
# Lin et al., "Feature Pyramid Networks", CVPR 2017, equation 1; the margin is torchvision's LevelMapper's.
CANONICAL_LEVEL, CANONICAL_SIZE = 4, 224.0
_MARGIN = 1e-6


@dataclass(frozen=True)
class FeaturePyramid:
    """Frozen features of one image.

    Attributes:
        maps: Maps [C, H, W], the finest first.
        strides: Strides of the maps, in pixels of the network's input; powers of two where there are several.
        scale: Number (x, y) of pixels of the network's input for a pixel of the image.
    """

    maps: tuple[Tensor, ...]
    strides: tuple[int, ...]
    scale: tuple[float, float]


def assign_levels(sizes: Tensor, strides: Sequence[int]) -> Tensor:
    """The pyramid level that a box reads: floor(4 + log2(sqrt(w h) / 224)), within the levels there are.

    The level of stride 2^k is k. This is the rule of torchvision's `LevelMapper` (`torchvision.ops.poolers`, with
    its k0 = 4 and s0 = 224) after equation 1 of the FPN paper.

    Args:
        sizes: [..., 2] (w, h) in pixels of the network's input.
        strides: strides of the levels, each twice the one before.

    Returns:
        [...] indices into `strides`.

    Raises:
        ValueError: strides that are no successive powers of two.
    """
    lowest = round(math.log2(strides[0]))
    if list(strides) != [2 ** (lowest + k) for k in range(len(strides))]:
        raise UserError(f"strides of a pyramid must be successive powers of two, not {list(strides)}")
    side = sizes.detach().clamp(min=0).prod(-1).sqrt().clamp(min=_MARGIN)
    level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE) + _MARGIN)
    return (level.clamp(lowest, lowest + len(strides) - 1) - lowest).long()


def pool(pyramid: FeaturePyramid, boxes: Tensor, bins: int) -> Tensor:
    """Features of boxes, each from the level that suits its own size; differentiable twice in the boxes.

    Args:
        boxes: [R, 4] (x, y, w, h) in image pixels.
        bins: a side.

    Returns:
        [R, C, bins, bins].
    """
    corners = xywh_to_xyxy(boxes) * boxes.new_tensor(pyramid.scale * 2)
    if len(pyramid.maps) == 1:
        return _pool_level(pyramid, 0, corners, bins)
    levels = assign_levels(corners[:, 2:] - corners[:, :2], pyramid.strides)
    rows = [torch.nonzero(levels == level)[:, 0] for level in range(len(pyramid.maps))]
    pooled = [_pool_level(pyramid, level, corners[found], bins) for level, found in enumerate(rows) if len(found)]
    if not pooled:
        return _pool_level(pyramid, 0, corners, bins)
    return torch.cat(pooled)[torch.argsort(torch.cat(rows))]


def _pool_level(pyramid: FeaturePyramid, level: int, corners: Tensor, bins: int) -> Tensor:
    return prroi_pool_grouped(pyramid.maps[level][None], corners[None], bins, 1 / pyramid.strides[level])[0]


class EnergyHead(nn.Module):
    """Two fully connected layers, then one linear output a class (docs/reference.md, section 9).

    Args:
        channels: C of the features.
        categories: COCO category ids that there is an output for, in their order.
        settings: sizes.
    """

    def __init__(self, channels: int, categories: Sequence[int], settings: HeadSettings) -> None:
        super().__init__()
        self.channels, self.categories, self.settings = channels, tuple(categories), settings
        self.fc6 = nn.Linear(channels * settings.bins**2, settings.hidden)
        self.fc7 = nn.Linear(settings.hidden, settings.hidden)
        self.energy = nn.Linear(settings.hidden, 1 if settings.class_agnostic else len(self.categories))
        # Near zero at first, so that the energy starts flat.
        nn.init.normal_(self.energy.weight, std=1e-3)
        nn.init.zeros_(self.energy.bias)

    def forward(self, pooled: Tensor, outputs: Tensor) -> Tensor:
        """Scores f [R] of boxes from their features [R, C, bins, bins], by the output [R] of each (`outputs_of`)."""
        hidden = F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1)))))
        return (hidden * self.energy.weight[outputs]).sum(-1) + self.energy.bias[outputs]

    def outputs_of(self, classes: Tensor) -> Tensor:
        """The output [...] that scores each COCO category id of `classes` [...].

        Raises:
            ValueError: a category that the head has no output for.
        """
        places = {category: place for place, category in enumerate(self.categories)}
        try:
            found = [places[category] for category in classes.flatten().tolist()]
        except KeyError as error:
            raise UserError(f"the head has no output for category {error}; it knows {len(places)} others") from None
        if self.settings.class_agnostic:
            found = [0] * len(found)
        return torch.tensor(found, dtype=torch.long, device=classes.device).reshape(classes.shape)


def initialise_from(head: EnergyHead, layers: tuple[nn.Linear, nn.Linear] | None) -> None:
    """Start fc6 and fc7 from a detector's box head; None leaves the random start.

    Raises:
        ValueError: layers of another shape.
    """
    for own, given in zip((head.fc6, head.fc7), layers or ()):
        if own.weight.shape != given.weight.shape:
            raise UserError(
                f"the detector's box head has layers of {list(given.weight.shape)}, the energy head of "
                f"{list(own.weight.shape)}: set head.hidden and head.bins as the detector's"
            )
        own.load_state_dict({name: value.detach().clone() for name, value in given.state_dict().items()})


def box_energy(
    head: EnergyHead, pyramids: Sequence[FeaturePyramid], counts: Sequence[int], classes: Tensor
) -> Callable[[Tensor], Tensor]:
    """The energy over boxes in several images, as `ltr.ebm` wants it.

    Args:
        pyramids: features of I images.
        counts: rows of each image; they add up to B.
        classes: [B] COCO category ids of the rows.

    Returns:
        A function: boxes [B, M, 4] (x, y, w, h) in image pixels -> f [B, M], each by the class of its row.
    """
    outputs = head.outputs_of(classes)

    def energy(boxes: Tensor) -> Tensor:
        pooled = [
            pool(pyramid, part.flatten(0, 1), head.settings.bins)
            for pyramid, part in zip(pyramids, boxes.split(list(counts)))
            if len(part)
        ]
        rows = outputs.to(boxes.device).repeat_interleave(boxes.shape[1])
        return head(torch.cat(pooled), rows).reshape(boxes.shape[:2])

    return energy


def save_head(path: Path, head: EnergyHead, card: dict[str, Any]) -> None:
    """Write a head as safetensors, with what it needs to be read again and `card` in the header."""
    described = {"channels": head.channels, "categories": head.categories, "settings": asdict(head.settings)}
    metadata = {"format": _FORMAT, "head": json.dumps(described), "card": json.dumps(card)}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in head.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load_head(path: Path) -> tuple[EnergyHead, dict[str, Any]]:
    """A head, frozen and in eval mode on the CPU, and its card. Executes nothing.

    Raises:
        CheckpointError: missing, cut off, or no head of this study.
    """
    header, tensors = read_header(path, _FORMAT), read_tensors(path)
    try:
        described, card = header["head"], header["card"]
        head = EnergyHead(described["channels"], described["categories"], HeadSettings(**described["settings"]))
        check_weights(head, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no energy head of the detection study: {error}") from error
    head.load_state_dict(tensors)
    return head.requires_grad_(False).eval(), card
