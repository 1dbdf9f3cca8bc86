"""Which network a DiMP tracker runs: a checkpoint file, or a name in the collections of networks."""

from __future__ import annotations

import os
from pathlib import Path

from ltr.admin.checkpoint import CheckpointError, load_network
from ltr.models.tracking.dimpnet import DiMPNet
from pytracking.errors import UserError
from pytracking.tracker.dimp.settings import DiMPParameters

NETWORKS_VARIABLE = "EBM_TRACKING_NETWORKS"
_SHIPPED = Path(__file__).resolve().parents[2] / "networks"


def network_file(name: str) -> Path:
    """The checkpoint `<name>.safetensors`, from the folder that EBM_TRACKING_NETWORKS names or the package's own.

    Raises:
        UserError: there is none of that name; the message says which there are and how to give one.
    """
    given = os.environ.get(NETWORKS_VARIABLE)
    folders = [Path(given).expanduser()] if given else []
    folders.append(_SHIPPED)
    for folder in folders:
        path = folder / f"{name}.safetensors"
        if path.is_file():
            return path
    known = sorted({path.stem for folder in folders for path in folder.glob("*.safetensors")})
    raise UserError(
        f"there is no network '{name}' (at hand: {', '.join(known) or 'none'}); train it, and set net_path to its file "
        f"or {NETWORKS_VARIABLE} to the folder that {name}.safetensors lies in"
    )


def load_tracking_network(params: DiMPParameters) -> DiMPNet:
    """The network that the parameters name, in eval mode, its weights without gradients.

    Raises:
        UserError: no such network, a file that is no checkpoint of ours, or a network of another kind.
    """
    path = Path(params.net_path).expanduser() if params.net_path is not None else network_file(params.net_name)
    try:
        network = load_network(path)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    if not isinstance(network, DiMPNet):
        raise UserError(f"{path} holds a {type(network).__name__}; the DiMP tracker wants a DiMPNet")
    return network.requires_grad_(False)
