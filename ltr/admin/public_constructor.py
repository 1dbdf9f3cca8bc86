"""Constructors as PyTracking's checkpoints name them, to ours and back; OSTrack's is told by its weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ltr.admin.model_constructor import CONSTRUCTORS, NetConstructor, NetworkConstructor, plain_argument
from ltr.errors import UserError, unknown_name
from ltr.models.backbone.vit import PATCH

# Constructor -> its module in the public framework (docs/reference.md, section 2). `dimpnet_lite0` exists here only.
PUBLIC_MODULES = {
    **dict.fromkeys(("dimpnet18", "dimpnet50", "klcedimpnet18", "klcedimpnet50"), "ltr.models.tracking.dimpnet"),
    "atom_resnet18": "ltr.models.bbreg.atom",
}

# Every argument of a constructor with its value here: the public framework's own defaults differ, so a checkpoint
# written for it names them all.
ARGUMENTS: dict[str, dict[str, Any]] = {
    name: {
        key: parameter.default
        for key, parameter in inspect.signature(CONSTRUCTORS[name]).parameters.items()
        if parameter.default is not parameter.empty
    }
    for name in PUBLIC_MODULES
}
# Only these come first in the public signatures as they do in that list.
_POSITIONAL = ("filter_size", "optim_iter", "optim_init_step", "optim_init_reg")
# Arguments of the public constructors that stand for what is built in here: accepted with this value only.
_FIXED: dict[str, Any] = {
    "classification_layer": "layer3",
    "feat_stride": 16,
    "init_filter_norm": False,
    "iou_input_dim": [256, 256],
    "iou_inter_dim": [256, 256],
    "act_param": None,
    "detach_length": math.inf,
    "init_uni_weight": None,
    "softmax_reg": None,
    "label_threshold": 0.0,
    "label_shrink": 0,
}
# Channels of an attention head in every public ViT.
_HEAD_WIDTH = 64


def from_public(fields: Mapping[str, Any]) -> NetworkConstructor:
    """Our constructor for the fields of a public `NetConstructor`.

    Args:
        fields: `fun_name`, `fun_module`, `args` and `kwds`, plain data.

    Raises:
        ValueError: fields of the wrong kind, a function that is not one of ours, or an argument that asks for
            something that is not built here.
    """
    name, module = fields.get("fun_name"), fields.get("fun_module")
    positional, keywords = fields.get("args", ()), fields.get("kwds", {})
    if not isinstance(name, str) or not isinstance(module, str):
        raise UserError("its constructor names no function")
    if PUBLIC_MODULES.get(name) != module:
        raise UserError(
            f"its constructor is the function {f'{module}.{name}'[:200]!a}, which is none of "
            f"{', '.join(f'{place}.{known}' for known, place in PUBLIC_MODULES.items())}; it was not called"
        )
    if not isinstance(positional, (list, tuple)) or not isinstance(keywords, dict):
        raise UserError("its constructor's arguments are not a list and a dict")
    known = [key for key in _POSITIONAL if key in ARGUMENTS[name]]
    if len(positional) > len(known):
        raise UserError(
            f"its constructor gives {name} {len(positional)} arguments without a name; "
            + (f"only {', '.join(known)} may be given so" if known else "all must be named")
        )
    arguments: dict[str, Any] = {}
    for key, value in {**dict(zip(known, positional)), **keywords}.items():
        if key in ARGUMENTS[name]:
            arguments[key] = plain_argument(key, value)
        elif key not in _FIXED:
            raise unknown_name(f"argument of {name}", ascii(key)[1:-1][:100], ARGUMENTS[name])
        elif (given := plain_argument(key, value)) != _FIXED[key]:
            raise UserError(f"its constructor asks {name} for {key}={given!a:.100}; only {_FIXED[key]!r} is built here")
    return NetworkConstructor(name, arguments)


def to_public(constructor: NetworkConstructor) -> NetConstructor | None:
    """The public `NetConstructor` of a network, all its arguments named; None for OSTrack, whose files have none.

    Raises:
        ValueError: the public framework has no such constructor, or could not run this OSTrack.
    """
    if constructor.name == "ostrack":
        width, heads = (constructor.arguments.get(key, usual) for key, usual in (("width", 768), ("heads", 12)))
        if width != _HEAD_WIDTH * heads:
            raise UserError(f"the public OSTrack has heads of {_HEAD_WIDTH} channels, not {width} in {heads} heads")
        return None
    if constructor.name not in PUBLIC_MODULES:
        raise UserError(
            f"the public framework has no network '{constructor.name}'; only {', '.join(PUBLIC_MODULES)} can be "
            "written for it"
        )
    arguments = {**ARGUMENTS[constructor.name], **constructor.arguments, "backbone_pretrained": False}
    if not arguments["frozen_backbone_layers"]:
        # Not every public constructor takes them.
        del arguments["frozen_backbone_layers"]
    return NetConstructor(constructor.name, PUBLIC_MODULES[constructor.name], (), arguments)


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
    named = [name.lower().split("_") for name in (path.name, path.parent.name)]
    arguments = {
        "template_size": PATCH * sides[0],
        "search_size": PATCH * sides[1],
        "candidate_elimination": not any("mae" in words and "ce" not in words for words in named),
        "width": grids[0].shape[2],
        "depth": len(blocks),
        "heads": grids[0].shape[2] // _HEAD_WIDTH,
        "head_channels": first.shape[0],
    }
    return NetworkConstructor("ostrack", arguments)
