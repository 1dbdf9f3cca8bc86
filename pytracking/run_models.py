"""List the installed networks, and fetch PyTracking's public weights by name.

python -m pytracking models
python -m pytracking models fetch super_dimp
python -m pytracking models fetch dimp50 --from ~/Downloads/dimp50.pth
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytracking.networks import listing, public


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
        print(listing.models_text())
        return 0
    path = public.fetch(options.name, options.source, options.overwrite)
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB; python -m pytracking models lists it")
    return 0
