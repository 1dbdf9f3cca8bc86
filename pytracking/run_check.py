"""Check a local copy of a data set, sequence by sequence, and repair what is only a matter of naming.

python -m pytracking check otb --dataset_path /data/otb --repair
"""

from __future__ import annotations

from ltr.run_check import build_parser
from ltr.run_check import main as check

__all__ = ["build_parser", "main"]


def main(argv: list[str] | None = None) -> int:
    """The command of `ltr.run_check`, for test sequences where a data set has both, and with the demo clips."""
    from pytracking.evaluation.datasets import LISTERS, dataset_root

    return check(argv, LISTERS, dataset_root, training_first=False)
