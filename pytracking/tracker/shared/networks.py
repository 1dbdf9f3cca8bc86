"""Which network a tracker runs, a checkpoint file or a name in the collections of networks, and on which device."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import nn

from ltr.admin.checkpoint import CheckpointError, load_network
from ltr.errors import UserError
from pytracking.networks import network_file

Network = TypeVar("Network", bound=nn.Module)


class NamesNetwork(Protocol):
    """Parameters that name a network."""

    @property
    def net_name(self) -> str:
        """Its name in a collection."""

    @property
    def net_path(self) -> str | None:
        """Its checkpoint file, instead of the name."""


def checkpoint_of(params: NamesNetwork) -> Path:
    """The checkpoint that the parameters name. Raises `UserError` when `net_name` is in no collection."""
    return Path(params.net_path).expanduser() if params.net_path is not None else network_file(params.net_name)


def load_tracking_network(path: Path, kind: type[Network]) -> Network:
    """The network of a checkpoint, in eval mode, its weights without gradients.

    Raises:
        UserError: a file that is no checkpoint, or a network of another kind.
    """
    try:
        network = load_network(path)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    if not isinstance(network, kind):
        raise UserError(f"{path} holds {type(network).__name__}, but this tracker wants {kind.__name__}")
    return network.requires_grad_(False)


def device_of(name: str) -> torch.device:
    """The device that the parameter `device` names: 'cpu', 'cuda', ... or 'auto' for CUDA where there is one.

    Raises:
        UserError: no device, or one that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"parameter device: '{name}' is no device; use 'auto', 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"parameter device is '{name}', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    return device
