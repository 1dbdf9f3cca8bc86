"""Check a local copy of a training data set: `python -m ltr check lasot --path /data/lasot`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ltr.admin.paths import dataset_path
from ltr.dataset.check import SPLITS, check_dataset, summary_text
from ltr.errors import exit_status, unknown_name

EXAMPLES = """examples:
  python -m ltr check lasot --path /data/lasot
  python -m ltr check got10k --split votval --quick
  python -m ltr check coco_format --path /data/mine --split train.json:images

Without --path the folder is that of EBM_TRACKING_<DATASET> or paths.toml, as for training. The exit status is 0 where
everything is whole, 1 where something is wrong, 2 where nothing could be checked."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m ltr check",
        description="Tell, sequence by sequence, what is missing, misnamed, short, unreadable, NaN, outside its image "
        "or has a wrong count of flags in a local copy of a training data set.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("dataset", help=f"one of {', '.join(SPLITS)}")
    result.add_argument("--path", type=Path, help="its folder, where it is not configured")
    result.add_argument(
        "--split", action="append", default=[], metavar="SPLIT", help="as a recipe names it; may be given repeatedly"
    )
    result.add_argument("--quick", action="store_true", help="do not open frames: names, numbers and boxes only")
    result.add_argument("--notes", action="store_true", help="also tell what does no harm")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print, and return the exit status."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: _check(options))


def _check(options: argparse.Namespace) -> int:
    if options.dataset not in SPLITS:
        raise unknown_name("training data set", options.dataset, SPLITS)
    root = options.path or dataset_path(options.dataset)
    walk = check_dataset(options.dataset, root, options.split, not options.quick)
    reports = []
    for report in tqdm(walk.reports, total=walk.count or None, unit="sequence", disable=None, leave=False):
        place = f"{options.dataset}/{report.name}" if report.name else options.dataset
        for finding in report.findings:
            if options.notes or not finding.harmless:
                tqdm.write(f"{place}: {finding.kind}: {finding.text}")
        reports.append(report)
    print(summary_text(options.dataset, reports) + (" (frames not opened)" if options.quick else ""))
    return 0 if reports and all(report.whole for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
