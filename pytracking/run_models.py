"""List the installed networks, and fetch PyTracking's public weights by name.

python -m pytracking models
python -m pytracking models fetch super_dimp
python -m pytracking models fetch dimp50 --from ~/Downloads/dimp50.pth
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ltr.admin.checkpoint import read_card
from ltr.errors import CheckpointError
from pytracking.networks import NETWORKS_VARIABLE, network_files, network_folders, network_name, public
from pytracking.registry import file_parameters, list_trackers


def build_parser() -> argparse.ArgumentParser:
    """The command line, which `python -m pytracking --help` lists too."""
    parser = argparse.ArgumentParser(
        prog="run_models.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="list installed and missing networks (the default)")
    fetch = commands.add_parser("fetch", help="download public weights and convert them to safetensors")
    fetch.add_argument("name", help=f"one of {', '.join(public.models())}")
    fetch.add_argument("--from", dest="source", type=Path, metavar="FILE", help="a file that is already downloaded")
    fetch.add_argument("--overwrite", action="store_true", help="replace the network if it is already there")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    if options.command != "fetch":
        print(models_text())
        return 0
    path = public.fetch(options.name, options.source, options.overwrite)
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB; python -m pytracking models lists it")
    return 0


def models_text() -> str:
    """A line for each installed network, then the names that parameter files ask for and that are missing."""
    files = network_files()
    lines = [_describe(file) for file in files]
    if not lines:
        lines.append(f"no trained network in {' or '.join(map(str, network_folders()))}")
    names = ((parameter, tracker) for tracker, names in list_trackers().items() for parameter in names)
    wanted = {getattr(file_parameters(*pair), "net_name", "") for pair in names}
    wanted -= {"", *map(network_name, files)}
    if wanted:
        lines += [
            "",
            f"without weights here: {', '.join(sorted(wanted))}",
            f"Public, from python -m pytracking models fetch NAME: {', '.join(sorted(wanted & set(public.models())))}",
            f"Others are trained (python ltr/run_training.py NAME); {NETWORKS_VARIABLE} names their folder, or the "
            "parameter net_path a checkpoint, PyTracking's included.",
        ]
    return "\n".join(lines)


def _describe(file: Path) -> str:
    ours = file.name.endswith(".safetensors")
    weights, card = (_weights(file), _card(file)) if ours else ("", "PyTracking checkpoint, used as it is")
    return f"{network_name(file):20s} {weights:>8s} {file.stat().st_size / 1e6:6.1f} MB  {card}  {file}"


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
    measured, origin = card.get("measured"), card.get("origin")
    figures: dict[str, Any] = measured if type(measured) is dict else {}
    texts = [_measured(name, figure) for name, figure in figures.items()]
    if type(origin) is dict and type(origin.get("file")) is str:
        return ", ".join([f"converted from {ascii(origin['file'][:60])[1:-1]}", *texts])
    recipe = card.get("recipe_name")
    return ", ".join([f"recipe {ascii(recipe[:60])[1:-1] if type(recipe) is str else 'unknown'}", *texts])


def _measured(name: str, figure: Any) -> str:
    """A line of a card, which may hold anything."""
    try:
        return f"AUC {figure['auc']:.1f} on {ascii(name[:40])[1:-1]} ({figure['sequences']:d})"
    except (KeyError, TypeError, ValueError):
        return "a figure that cannot be read"
