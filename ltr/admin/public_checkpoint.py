"""Checkpoints of PyTracking and OSTrack (`.pth`, `.pth.tar`): read without executing anything in them, and written.

Layout (docs/reference.md, section 6):
a dict with `net` (state dict), `net_type`, `actor_type`, `epoch`, `stats`, `settings`,
`optimizer`, and `constructor`, an object of class `ltr.admin.model_constructor.NetConstructor`; None in OSTrack's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltr.admin.files import whole_file
from ltr.admin.model_constructor import NetworkConstructor
from ltr.admin.public_constructor import from_public, ostrack_constructor, to_public
from ltr.admin.torch_file import Record, load_torch_file, tensors_of
from ltr.errors import CheckpointError

_CONSTRUCTOR_CLASS = "ltr.admin.model_constructor.NetConstructor"
# The names that the public framework gives the classes of its networks, and of the actors that train them.
_NET_TYPES = {"atom_resnet18": "ATOMnet", "ostrack": "OSTrack"}
_ACTOR_TYPES = {
    "atom_resnet18": "AtomActor",
    "klcedimpnet18": "KLDiMPActor",
    "klcedimpnet50": "KLDiMPActor",
    "ostrack": "OSTrackActor",
}


@dataclass(frozen=True)
class PublicCheckpoint:
    """What a public checkpoint says.

    Attributes:
        constructor: constructor of our network.
        state_dict: its weights on the CPU, in the dtype they were saved in.
        net_type, actor_type: class names in the public framework.
        epoch: epochs trained.
        settings: attributes of the public framework's object as plain data; nested objects are dicts too.
    """

    constructor: NetworkConstructor
    state_dict: dict[str, Tensor]
    net_type: str
    actor_type: str
    epoch: int
    settings: dict[str, Any] = field(default_factory=dict)


def load_public_checkpoint(path: str | Path) -> PublicCheckpoint:
    """Read a checkpoint of the public framework, of torch's zip format or the one before it.

    Args:
        path: any file name.

    Raises:
        CheckpointError: no such file, cut off, not a public checkpoint, something in it that is not data, or torch
            before 2.10. Nothing in it is executed; the message says what was refused.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        root = load_torch_file(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if type(root) is not dict or "net" not in root:
            raise CheckpointError("it holds no network under 'net'")
        stated = root.get("format")
        if type(stated) is str and stated.startswith("ebm-tracking"):
            raise CheckpointError(
                "it is a training checkpoint of this project, for resuming; give the network.safetensors beside it"
            )
        state_dict, named = tensors_of(root["net"], "'net'"), root.get("constructor")
        # OSTrack's names none; of its keys only `net` is sure.
        if named is None and {"backbone.pos_embed_z", "backbone.pos_embed_x"} <= state_dict.keys():
            constructor = ostrack_constructor(state_dict, path)
        else:
            if not isinstance(named, Record) or named.class_name != _CONSTRUCTOR_CLASS:
                raise CheckpointError(f"it does not say how to build its network: no {_CONSTRUCTOR_CLASS} in it")
            constructor = from_public(named)
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as a PyTracking checkpoint: {error}") from error
    stated = (root.get(key) for key in ("net_type", "actor_type"))
    net_type, actor_type = (text[:100] if type(text) is str else "" for text in stated)
    return PublicCheckpoint(
        constructor=constructor,
        state_dict=state_dict,
        net_type=net_type,
        actor_type=actor_type,
        epoch=root["epoch"] if type(root.get("epoch")) is int else 0,
        settings=root["settings"] if isinstance(root.get("settings"), dict) else {},
    )


def save_public_checkpoint(
    path: str | Path,
    constructor: NetworkConstructor,
    state_dict: Mapping[str, Tensor],
    net_type: str | None = None,
    actor_type: str | None = None,
    epoch: int = 0,
) -> None:
    """Write a checkpoint that the public framework loads. It has no optimiser state: training starts again from it.

    Args:
        state_dict: floating-point tensors are written as float32.
        net_type, actor_type: class names in the public framework; by default those of the constructor.

    Raises:
        CheckpointError: the public framework has no such network.
        OSError: nothing is left half-written.
    """
    try:
        public = to_public(constructor)
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error
    net = OrderedDict(
        (name, (value.float() if value.is_floating_point() else value).detach().cpu().contiguous().clone())
        for name, value in state_dict.items()
    )
    content = {
        "epoch": epoch,
        "actor_type": actor_type or _ACTOR_TYPES.get(constructor.name, "DiMPActor"),
        "net_type": net_type or _NET_TYPES.get(constructor.name, "DiMPnet"),
        "net": net,
        "net_info": None,
        "constructor": public,
        "optimizer": {"state": {}, "param_groups": []},
        "stats": OrderedDict(),
        "settings": None,
    }
    with whole_file(path) as temporary:
        torch.save(content, temporary)
