"""Run a tracker under the VOT toolkit, which speaks to it through TraX.

python -m pytracking vot integrate dimp dimp_nceplus_lite >> trackers.ini    # in the toolkit's workspace
python -m pytracking vot run dimp dimp_nceplus_lite                          # what the toolkit then starts
"""

from __future__ import annotations

import argparse
import os
import sys

from ltr.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_vot.py",
        description="Run a tracker under the VOT toolkit or another TraX client (pip install 'ebm-tracking[vot]').",
        epilog="docs/vot.md describes the steps.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{integrate,run}")
    integrate = commands.add_parser("integrate", help="print the tracker's section of trackers.ini")
    run = commands.add_parser("run", help="answer a TraX client on stdin and stdout, or on the port TRAX_SOCKET")
    for command in (integrate, run):
        command.add_argument("tracker_name", help="tracker, such as dimp or opencv")
        command.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or kcf")
    integrate.add_argument("--identifier", help="the section's name (default: <tracker>_<parameters>)")
    integrate.add_argument("--label", help="what the toolkit's tables call it (default: <tracker>/<parameters>)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.registry import describe_parameters, find_tracker, load_tracker

    tracker, parameter = find_tracker(args.tracker_param, args.tracker_name)
    if args.command == "integrate":
        from pytracking.evaluation.vot_integration import integration_section

        print(integration_section(tracker, parameter, args.identifier, args.label), end="")
        return 0
    from pytracking.evaluation.trax_server import serve

    if sys.stdin.isatty() and "TRAX_SOCKET" not in os.environ:
        raise UserError("'vot run' is started by the VOT toolkit or another TraX client, not by hand: see docs/vot.md")
    serve(lambda: load_tracker(parameter, tracker), f"{tracker}/{parameter}", describe_parameters(tracker, parameter))
    return 0
