"""The list of networks: what is at hand, how large, from which recipe, what was measured; and what is wanted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ltr.admin.checkpoint import read_card
from ltr.errors import CheckpointError
from pytracking.networks import NETWORKS_VARIABLE, network_folders
from pytracking.registry import file_parameters, list_trackers


def models_text() -> str:
    """A line a network at hand, then the names that parameter files ask for without there being a network."""
    files = sorted(path for folder in network_folders() for path in folder.glob("*.safetensors"))
    lines = [_describe(file) for file in files]
    if not lines:
        lines.append(f"no trained network (*.safetensors) in {' or '.join(map(str, network_folders()))}")
    wanted = _wanted() - {file.stem for file in files}
    if wanted:
        lines += [
            "",
            f"without weights here: {', '.join(sorted(wanted))}",
            "Train them (python ltr/run_training.py NAME) and name the folder by "
            f"{NETWORKS_VARIABLE}, or give a checkpoint, PyTracking's included, by the parameter net_path.",
        ]
    return "\n".join(lines)


def _wanted() -> set[str]:
    """The network names of all parameter files."""
    parameters = [
        file_parameters(parameter, tracker) for tracker, names in list_trackers().items() for parameter in names
    ]
    return {params.net_name for params in parameters if hasattr(params, "net_name")}


def _describe(file: Path) -> str:
    card = _card(file)
    return f"{file.stem:20s} {_weights(file):>8s} {file.stat().st_size / 1e6:6.1f} MB  {card}  {file}"


def _weights(file: Path) -> str:
    """Number of values in a checkpoint, in millions."""
    try:
        with safe_open(file, framework="np") as stored:
            names = list(stored.keys())
            count = sum(math.prod(stored.get_slice(name).get_shape()) for name in names)
    except SafetensorError:
        return "damaged"
    return f"{count / 1e6:.2f} M"


def _card(network: Path) -> str:
    """Recipe and measured figures of the card beside a network, or what is wrong with it."""
    try:
        card = read_card(network)
    except CheckpointError as error:
        return str(error)
    if not card:
        return "no card beside it"
    measured: dict[str, Any] = card.get("measured", {})
    figures = [f"AUC {figure['auc']:.1f} on {name} ({figure['sequences']})" for name, figure in measured.items()]
    return ", ".join([f"recipe {card.get('recipe_name', 'unknown')}", *figures])
