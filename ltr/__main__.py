"""`python -m ltr <command>`: train a recipe, check a training data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ltr import console
from ltr.errors import exit_status

COMMANDS = {
    "train": ("ltr.run_training", "train a recipe, or resume its training"),
    "check": ("ltr.run_check", "check a local copy of a training data set"),
}
_EXAMPLES = """  python -m ltr check got10k --quick
  python -m ltr train dimp_nceplus_lite

`ebm-training` is the same command where the package is installed. Tab completion in bash and zsh:
  eval "$(register-python-argcomplete ebm-training)\""""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status; 2 without a command. Raises `UserError` for an unknown one."""
    return console.run("python -m ltr", COMMANDS, _EXAMPLES, arguments=arguments)


def script() -> int:
    """The console command `ebm-training`; returns its exit status."""
    return exit_status(main)


if __name__ == "__main__":
    sys.exit(script())
