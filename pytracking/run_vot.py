"""Run a tracker under the VOT toolkit, which speaks to it through TraX.

python -m pytracking vot integrate dimp dimp_nceplus_lite >> trackers.ini    # in the toolkit's workspace
python -m pytracking vot run dimp dimp_nceplus_lite                          # what the toolkit then starts
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shlex
import sys

from ltr.errors import UserError

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]+")


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
        print(integration_section(tracker, parameter, args.identifier, args.label), end="")
        return 0
    from pytracking.evaluation.trax_server import serve

    if sys.stdin.isatty() and "TRAX_SOCKET" not in os.environ:
        raise UserError("'vot run' is started by the VOT toolkit or another TraX client, not by hand: see docs/vot.md")
    serve(lambda: load_tracker(parameter, tracker), f"{tracker}/{parameter}", describe_parameters(tracker, parameter))
    return 0


def integration_section(tracker: str, parameter: str, identifier: str | None = None, label: str | None = None) -> str:
    """A section of trackers.ini that starts a tracker with this Python.

    Args:
        tracker, parameter: names of a tracker, such as 'dimp' and 'dimp_nceplus_lite'.
        identifier: the section's name; `<tracker>_<parameter>` when left out.
        label: name in the toolkit's tables; `<tracker>/<parameter>` when left out.

    Raises:
        UserError: the identifier has other than letters, digits, '_' and '-', the label has line ends, vot-trax is
            missing, or this package is not installed: the toolkit starts trackers in a folder of its own, where a
            checkout alone is not found.

    >>> print(integration_section("opencv", "kcf").splitlines()[0])
    [opencv_kcf]
    """
    name = f"{tracker}_{parameter}" if identifier is None else identifier
    label = f"{tracker}/{parameter}" if label is None else label
    if not _IDENTIFIER.fullmatch(name):
        raise UserError(f"'{name}' cannot name a tracker in the toolkit: letters, digits, '_' and '-' only")
    if not label.strip() or "\n" in label:
        raise UserError("a tracker's label is one line of text")
    from pytracking.evaluation.trax_server import import_trax

    import_trax()
    try:
        importlib.metadata.distribution("ebm-tracking")
    except importlib.metadata.PackageNotFoundError:
        raise UserError("ebm-tracking is not installed in this Python: pip install -e . in its folder first") from None
    command = shlex.join([sys.executable, "-m", "pytracking", "vot", "run", tracker, parameter])
    lines = [f"[{name}]", f"label = {label}", "protocol = trax", f"command = {command}"]
    # The file's reader takes a single % for the start of a reference.
    return "\n".join(line.replace("%", "%%") for line in lines) + "\n\n"
