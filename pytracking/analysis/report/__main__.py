"""The former `python -m pytracking.analysis.report`: now `python -m pytracking report ... --html`."""

from __future__ import annotations

import re
import sys

from ltr.errors import exit_status
from pytracking.run_report import main as report


def main(argv: list[str] | None = None) -> int:
    """Run `report` with the former options, of which --output named the page itself."""
    given = sys.argv[1:] if argv is None else argv
    renamed = [re.sub("^--output", "--html", argument) for argument in given]
    return report(renamed if renamed != given else [*given, "--html"])


if __name__ == "__main__":
    sys.exit(exit_status(main))
