"""The former `python -m pytracking.analysis.table`: now `python -m pytracking report ... --published`."""

from __future__ import annotations

import re
import sys

from ltr.errors import exit_status
from pytracking.run_report import main as report


def main(argv: list[str] | None = None) -> int:
    """Run `report` with the former options, of which --plots named the folder."""
    given = sys.argv[1:] if argv is None else argv
    renamed = [re.sub("^--plots", "--output", argument) for argument in given]
    return report([*renamed, "--published", *(["--plots"] if renamed != given else [])])


if __name__ == "__main__":
    sys.exit(exit_status(main))
