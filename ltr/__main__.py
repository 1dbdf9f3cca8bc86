"""`python -m ltr <command>`: train a recipe, check a training data set."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ltr.errors import unknown_name

COMMANDS = {
    "train": ("ltr.run_training", "train a recipe, or resume its training"),
    "check": ("ltr.run_check", "check a local copy of a training data set"),
}
_USAGE = """usage: python -m ltr <command> [option ...]

Commands (--help tells the options of each)
{commands}

Examples
  python -m ltr check got10k --quick
  python -m ltr train dimp_nceplus_lite"""


def usage() -> str:
    """What the commands are, each in one line."""
    lines = (f"  {name:8s} {text}" for name, (_, text) in COMMANDS.items())
    return _USAGE.format(commands="\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status; 2 without a command or for an unknown one."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage(), file=sys.stdout if given else sys.stderr)
        return 0 if given else 2
    command, *rest = given
    if command not in COMMANDS:
        print(f"error: {unknown_name('command', command, COMMANDS)}", file=sys.stderr)
        return 2
    status: int = importlib.import_module(COMMANDS[command][0]).main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
