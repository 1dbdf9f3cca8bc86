"""Which network a public checkpoint of OSTrack holds: it names none, so the shapes of its weights and its path say it.

Source: docs/reference.md, section 10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import UserError
from ltr.models.backbone.vit import PATCH

# Channels of an attention head in every public ViT.
_HEAD_WIDTH = 64


def is_ostrack(root: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint that names no constructor is OSTrack's; of its keys only `net` is sure."""
    return root.get("constructor") is None and {"backbone.pos_embed_z", "backbone.pos_embed_x"} <= state_dict.keys()


def ostrack_constructor(state_dict: Mapping[str, Tensor], path: Path) -> NetworkConstructor:
    """Our constructor for a public checkpoint of OSTrack, which has the weights of a ViT with heads of 64 channels.

    Candidate elimination has no weights. It is on, as in every published figure, unless the file or its folder bears
    the name of a public model without it, such as `vitb_256_mae_32x4_ep300`.

    Args:
        path: path of the file.

    Raises:
        UserError: a weight that decides a size is missing or has another shape than OSTrack's.
    """
    first = state_dict.get("box_head.conv1_ctr.0.weight")
    grids = [state_dict[f"backbone.pos_embed_{part}"] for part in "zx"]
    sides = [math.isqrt(grid.shape[1]) if grid.dim() == 3 else 0 for grid in grids]
    if first is None or first.dim() != 4 or any(grid.shape[:2] != (1, side**2) for grid, side in zip(grids, sides)):
        raise UserError("its weights are not those of OSTrack: square position embeddings and a centre head")
    blocks = {name.split(".")[2] for name in state_dict if name.startswith("backbone.blocks.")}
    arguments = {
        "template_size": PATCH * sides[0],
        "search_size": PATCH * sides[1],
        "candidate_elimination": not any(_without(name) for name in (path.name, path.parent.name)),
        "width": grids[0].shape[2],
        "depth": len(blocks),
        "heads": grids[0].shape[2] // _HEAD_WIDTH,
        "head_channels": first.shape[0],
    }
    return NetworkConstructor("ostrack", arguments)


def check_public(constructor: NetworkConstructor) -> None:
    """Raise `UserError` where the public code could not run this OSTrack."""
    width, heads = (constructor.arguments.get(key, usual) for key, usual in (("width", 768), ("heads", 12)))
    if width != _HEAD_WIDTH * heads:
        raise UserError(f"the public OSTrack has heads of {_HEAD_WIDTH} channels, not {width} in {heads} heads")


def _without(name: str) -> bool:
    words = name.lower().split("_")
    return "mae" in words and "ce" not in words
