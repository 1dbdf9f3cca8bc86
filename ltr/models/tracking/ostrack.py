"""OSTrack: a one-stream transformer and a head that answers the target's centre, size and offset as maps.

Source: Ye et al., ECCV 2022, section 3; docs/reference.md, section 10. Parameter names are the public checkpoints'.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ltr.errors import UserError
from ltr.models.backbone.pretrained import load_mae
from ltr.models.backbone.resnet import ResNet
from ltr.models.backbone.vit import PATCH, OneStreamViT, TokenFeatures
from ltr.models.bbreg.box_head import TOKEN_LEVELS, BoxHead

# Template grids for which the public models define their centre token.
_CENTRE_CELLS = {7: 3, 8: 3, 12: 5, 14: 6}


class CentreMaps(NamedTuple):
    """Output of the centre head on F x F cells.

    Attributes:
        score: [B, 1, F, F] in (0, 1).
        size: [B, 2, F, F] width and height in parts of the search image.
        offset: [B, 2, F, F] of the centre from its cell's corner, x and y in cells.
    """

    score: Tensor
    size: Tensor
    offset: Tensor


class CentreHead(nn.Module):
    """Three branches of five convolutions each: score, offset and size of the target by cell."""

    def __init__(self, inputs: int = 768, channels: int = 256) -> None:
        super().__init__()
        for branch, outputs in (("ctr", 1), ("offset", 2), ("size", 2)):
            widths = [inputs, *(channels >> level for level in range(4))]
            for index in range(4):
                block = nn.Sequential(
                    nn.Conv2d(widths[index], widths[index + 1], 3, padding=1),
                    nn.BatchNorm2d(widths[index + 1]),
                    nn.ReLU(),
                )
                self.add_module(f"conv{index + 1}_{branch}", block)
            self.add_module(f"conv5_{branch}", nn.Conv2d(widths[-1], outputs, 1))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, features: Tensor) -> CentreMaps:
        """Maps of search features [B, C, F, F]."""
        score, size = (_probability(self._branch(name, features)) for name in ("ctr", "size"))
        return CentreMaps(score, size, self._branch("offset", features))

    def _branch(self, name: str, features: Tensor) -> Tensor:
        for index in range(1, 6):
            features = getattr(self, f"conv{index}_{name}")(features)
        return features


def _probability(logits: Tensor) -> Tensor:
    return logits.sigmoid().clamp(1e-4, 1 - 1e-4)


def decode(maps: CentreMaps, response: Tensor | None = None) -> Tensor:
    """Boxes [B, 4] (cx, cy, w, h) in parts of the search image, at the highest cell of each map.

    Args:
        response: [B, 1, F, F] where the highest cell is sought, instead of the score.
    """
    cells = maps.score.shape[-1]
    best = (maps.score if response is None else response).flatten(1).argmax(1)
    index = best[:, None, None].expand(-1, 2, 1)
    size = maps.size.flatten(2).gather(2, index).squeeze(2)
    offset = maps.offset.flatten(2).gather(2, index).squeeze(2)
    corner = torch.stack((best % cells, best // cells), dim=1).to(offset.dtype)
    return torch.cat(((corner + offset) / cells, size), dim=1)


class OSTrackOutput(NamedTuple):
    """Output of `OSTrack`.

    Attributes:
        boxes: [B, 4] (cx, cy, w, h) in parts of the search image, decoded from the score map.
        maps: maps of the centre head.
        features: features of the transformer.
    """

    boxes: Tensor
    maps: CentreMaps
    features: TokenFeatures


class OSTrack(nn.Module):
    """One-stream transformer and centre head.

    Attributes:
        template_size, search_size: sides Z and S of template and search image in pixels.

    Args:
        backbone: the transformer.
        head_channels: outputs of the head's first convolution, halved with each of the next three.
        elimination_warm_up: epochs, after the 20th, over which training comes down to the part of candidates kept.
    """

    _mean: Tensor
    _std: Tensor
    _centre_token: Tensor | None

    def __init__(self, backbone: OneStreamViT, head_channels: int = 256, elimination_warm_up: int = 80) -> None:
        super().__init__()
        self.backbone = backbone
        self.template_size, self.search_size = backbone.template_cells * PATCH, backbone.search_cells * PATCH
        self.elimination_warm_up = elimination_warm_up
        self.box_head = CentreHead(backbone.norm.normalized_shape[0], head_channels)
        self.register_buffer("_mean", torch.tensor(ResNet.input_mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(ResNet.input_std).reshape(1, 3, 1, 1), persistent=False)
        centre = _CENTRE_CELLS.get(backbone.template_cells)
        rows = None if centre is None else torch.tensor([centre * backbone.template_cells + centre])
        self.register_buffer("_centre_token", rows, persistent=False)

    @property
    def centre_token(self) -> Tensor:
        """Index [1] of the template token that judges candidates. Raises UserError where none is defined."""
        if self._centre_token is None:
            raise UserError(
                f"candidate elimination is defined for templates of {', '.join(str(n * PATCH) for n in _CENTRE_CELLS)} "
                f"pixels, not {self.template_size}"
            )
        return self._centre_token

    def normalise(self, images: Tensor) -> Tensor:
        """Images as the backbone wants them. images: [B, 3, H, W] RGB in 0..255, uint8 or float -> float."""
        return (images.to(self._mean.dtype) / 255 - self._mean) / self._std

    def forward(
        self, template: Tensor, search: Tensor, rows: Tensor | None = None, keep: float | None = None
    ) -> OSTrackOutput:
        """Boxes and maps of normalised images [B, 3, Z, Z] and [B, 3, S, S].

        Args:
            rows: indices of the template tokens that judge candidates (`centre_token` in tracking); None for all.
            keep: part of the candidates that each eliminating block keeps, instead of its own.
        """
        return self.answer(self.backbone(template, search, rows, keep))

    def answer(self, features: TokenFeatures) -> OSTrackOutput:
        """Boxes and maps of the transformer's features."""
        maps = self.box_head(features.search)
        return OSTrackOutput(decode(maps), maps, features)


class EnergyOSTrack(OSTrack):
    """OSTrack and a box head on its tokens, as they leave the last norm: an energy f(x, y) of boxes y.

    The centre head finds the target, and the energy refines its box. Template tokens attend to the search image, so the
    modulation vector is another in every frame.

    Args:
        backbone, head_channels, elimination_warm_up: as for `OSTrack`.
        box_channels: width of the box head.
    """

    def __init__(
        self,
        backbone: OneStreamViT,
        head_channels: int = 256,
        box_channels: int = 256,
        elimination_warm_up: int = 80,
    ) -> None:
        super().__init__(backbone, head_channels, elimination_warm_up)
        inputs = backbone.norm.normalized_shape[0]
        self.bb_regressor = BoxHead((inputs,), (box_channels,), (box_channels,), TOKEN_LEVELS)


def keep_ratio(epoch: int, start: int = 20, warm_up: int = 80, keep: float = 0.7) -> float:
    """Part of the candidates kept while training: 1 before `start`, a cosine over `warm_up` epochs, then `keep`.

    Args:
        epoch: counted from 1.
    """
    if epoch < start:
        return 1.0
    if epoch >= start + warm_up:
        return keep
    return keep + (1 - keep) * (1 + math.cos(math.pi * (epoch - start) / warm_up)) / 2


def ostrack(
    search_size: int = 256,
    template_size: int = 128,
    candidate_elimination: bool = True,
    elimination_blocks: tuple[int, ...] = (3, 6, 9),
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    head_channels: int = 256,
    drop_path: float = 0.1,
    elimination_warm_up: int = 80,
    backbone_pretrained: bool = False,
) -> OSTrack:
    """OSTrack with ViT-B/16: 256 by default; `search_size=384, template_size=192` for the larger one.

    Args:
        elimination_warm_up: as for `OSTrack`; a tracker does not depend on it.
        backbone_pretrained: start from the public MAE weights of ViT-B/16 (`ltr.models.backbone.pretrained.load_mae`).

    Raises:
        UserError: sizes that are no multiples of 16, or a width that the heads do not divide.
    """
    for name, size in (("search_size", search_size), ("template_size", template_size)):
        if size < PATCH or size % PATCH:
            raise UserError(f"{name} must be a multiple of {PATCH}, not {size}")
    if width % heads:
        raise UserError(f"width {width} is not a multiple of the number of heads, {heads}")
    elimination = dict.fromkeys(elimination_blocks, 0.7) if candidate_elimination else {}
    backbone = OneStreamViT(
        template_size, search_size, width, depth, heads, elimination=elimination, drop_path=drop_path
    )
    if backbone_pretrained:
        load_mae(backbone)
    return OSTrack(backbone, head_channels, elimination_warm_up)


def ostrack_energy(*, candidate_elimination: bool = False, box_channels: int = 256, **options: Any) -> EnergyOSTrack:
    """OSTrack with a box head on its tokens.

    Args:
        candidate_elimination: off by default. With it, two thirds of the search map that boxes are pooled from are
            zero, most of what surrounds a box among them.
        box_channels: width of the box head.
        options: as for `ostrack`, whose checkpoints of either kind fit.
    """
    tracker = ostrack(candidate_elimination=candidate_elimination, **options)
    channels = tracker.box_head.get_submodule("conv1_ctr").get_submodule("0").get_parameter("weight").shape[0]
    return EnergyOSTrack(tracker.backbone, channels, box_channels, tracker.elimination_warm_up)
