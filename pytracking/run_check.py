"""Check a local copy of a data set, sequence by sequence, and repair what is only a matter of naming.

python -m pytracking check otb --dataset_path /data/otb --repair
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ltr.errors import EXIT_FAILED_SEQUENCES, exit_status


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_check.py",
        description="Tell what is missing, misnamed, short, unreadable or off by one in a local copy of a data set. "
        "The exit status is 0 where nothing is, 1 otherwise.",
    )
    parser.add_argument("dataset", help="data set, such as otb (python -m pytracking datasets lists them)")
    parser.add_argument("--dataset_path", type=Path, help="folder of the data set, where it is not configured")
    parser.add_argument("--sequence", nargs="+", metavar="NAME", help="only these sequences (default: all)")
    parser.add_argument(
        "--repair", action="store_true", help="rename what is only written differently; nothing is overwritten"
    )
    parser.add_argument("--quick", action="store_true", help="do not open the frames: names, numbers and boxes only")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Check, print, and return the exit status."""
    from pytracking.evaluation.check import check_dataset, summary_text

    args = build_parser().parse_args(argv)
    reports = []
    for report in check_dataset(args.dataset, args.dataset_path, args.sequence, args.repair, not args.quick):
        place = f"{args.dataset}/{report.name}" if report.name else args.dataset
        for source, target in report.renamed:
            print(f"{place}: renamed {source} to {target}")
        for finding in report.findings:
            print(f"{place}: {finding.kind}: {finding.text}", flush=True)
        reports.append(report)
    print(summary_text(args.dataset, reports) + (" (frames not opened)" if args.quick else ""))
    return 0 if all(report.whole for report in reports) else EXIT_FAILED_SEQUENCES


if __name__ == "__main__":
    sys.exit(exit_status(main))
