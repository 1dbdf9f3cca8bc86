"""Networks on disk: safetensors with the constructor in the header and a JSON card beside. Reading executes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltr.admin.files import whole_file, write_json
from ltr.admin.model_constructor import NetworkConstructor

FORMAT = "ebm-tracking-1"


class CheckpointError(ValueError):
    """A file that is not one of our checkpoints, or does not fit its network. The message says what to do."""


def card_path(path: str | Path) -> Path:
    """Where the JSON card of a checkpoint lies: `model.safetensors` -> `model.json`."""
    return Path(path).with_suffix(".json")


def save_network(
    path: str | Path,
    net: nn.Module,
    constructor: NetworkConstructor,
    card: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a network and its card.

    Args:
        path: ends in `.safetensors`.
        net: its state dict is stored; floating-point tensors as `dtype`.
        constructor: how to build the network again.
        card: what a reader should know (recipe, data, licences, seed, figures); written as `<stem>.json`.

    Raises:
        OSError: nothing is left half-written.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        stored = value.detach().cpu()
        tensors[name] = (stored.to(dtype) if stored.is_floating_point() else stored).contiguous().clone()
    metadata = {"format": FORMAT, "constructor": json.dumps(asdict(constructor))}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    if card is not None:
        write_json(card_path(path), {"constructor": asdict(constructor), **card})


def _read(path: Path) -> tuple[NetworkConstructor, dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt", device="cpu") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} is a safetensors file but not a checkpoint of this project: its header has format "
                    f"{metadata.get('format')!r}, wanted {FORMAT!r}"
                )
            description = json.loads(metadata["constructor"])
            constructor = NetworkConstructor(str(description["name"]), dict(description["arguments"]))
            return constructor, {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of this project (safetensors with a '{FORMAT}' header), or it is cut off: "
            f"{error}"
        ) from error


def load_network(path: str | Path) -> nn.Module:
    """Build the network that a checkpoint names and load its weights, as float32 in eval mode.

    Raises:
        CheckpointError: no such file, not one of ours, cut off, an unknown constructor, or weights that do not fit.
    """
    constructor, tensors = _read(Path(path))
    try:
        net = constructor.build(backbone_pretrained=False)
        floats = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
        net.load_state_dict(floats, strict=True)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit the network it names, '{constructor.name}': {error}") from error
    return net.eval()


def load_training_state(path: str | Path) -> dict[str, Any]:
    """Read a training checkpoint (tensors, numbers, strings and containers only; nothing is executed).

    Raises:
        CheckpointError: missing, cut off, or holding anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no training checkpoint at {path}") from error
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a training checkpoint of this project, or it is cut off: {error}"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a training checkpoint of this project")
    return state


def save_training_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write a training checkpoint whole; `state` holds tensors, numbers, strings and containers."""
    with whole_file(path) as temporary:
        torch.save({"format": FORMAT, **state}, temporary)
