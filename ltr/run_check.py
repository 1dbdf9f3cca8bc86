"""Check a local copy of a data set, sequence by sequence, and repair what is only a matter of naming.

`python -m ltr check lasot --path /data/lasot` and `python -m pytracking check otb --repair` are the same command. Where
a data set is both trained and evaluated on, the first checks the training sequences and the second the test sequences.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from ltr.admin.paths import dataset_path
from ltr.dataset.check import (
    EVALUATION,
    SPLITS,
    CheckOptions,
    Lister,
    Walk,
    check_evaluation,
    check_training,
    summary_text,
)
from ltr.errors import EXIT_FAILED_SEQUENCES, UserError, exit_status, printable, unknown_name

EXAMPLES = """examples:
  check otb --path /data/otb --repair
  check lasot --split test --quick
  check got10k --split votval --path /data/got10k
  check coco_format --path /data/mine --split train.json:images

Without --path the folder is that of EBM_TRACKING_<DATASET> or paths.toml. The exit status is 0 where everything is
whole, 1 where something is wrong, 2 where nothing could be checked."""
TEST = "test"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_check.py",
        description="Report, sequence by sequence, what is missing, misnamed, short, unreadable, NaN, off by one or "
        "outside its image, or has a wrong count of flags, in a local copy of a data set.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help=f"one of {', '.join(sorted({*SPLITS, *EVALUATION}))}")
    parser.add_argument("--path", "--dataset_path", type=Path, help="its folder, where it is not configured")
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="SPLIT",
        help=f"as a recipe names it, or '{TEST}' for the sequences that are evaluated on; may be given repeatedly",
    )
    parser.add_argument("--sequence", nargs="+", default=[], metavar="NAME", help="only these sequences (default: all)")
    parser.add_argument(
        "--repair", action="store_true", help="rename what is only written differently; nothing is overwritten"
    )
    parser.add_argument("--quick", action="store_true", help="do not open frames: names, numbers and boxes only")
    parser.add_argument("--notes", action="store_true", help="also report what does no harm")
    return parser


def main(
    arguments: Sequence[str] | None = None,
    evaluation: Mapping[str, Lister] = EVALUATION,
    find_root: Callable[[str], Path] = dataset_path,
    training_first: bool = True,
) -> int:
    """Check, print, and return the exit status.

    Args:
        evaluation: the data sets for evaluation, with the places of their files.
        find_root: the configured folder of a data set.
        training_first: whether a name that stands for both means the training sequences.
    """
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: _report(options, _open(options, evaluation, find_root, training_first)))


def _report(options: argparse.Namespace, walk: Walk) -> int:
    reports = []
    for report in tqdm(walk.reports, total=walk.count or None, unit="sequence", disable=None, leave=False):
        place = f"{options.dataset}/{report.name}" if report.name else options.dataset
        for source, target in report.renamed:
            tqdm.write(printable(f"{place}: renamed {source} to {target}"))
        for finding in report.findings:
            if options.notes or finding.kind != "note":
                tqdm.write(printable(f"{place}: {finding.kind}: {finding.text}"))
        reports.append(report)
    print(summary_text(options.dataset, reports) + (" (frames not opened)" if options.quick else ""))
    return 0 if reports and all(report.whole for report in reports) else EXIT_FAILED_SEQUENCES


def _open(
    options: argparse.Namespace, evaluation: Mapping[str, Lister], find_root: Callable[[str], Path], training: bool
) -> Walk:
    name, given = options.dataset, CheckOptions(tuple(options.sequence), options.repair, not options.quick)
    if name not in SPLITS and name not in evaluation:
        raise unknown_name("data set", name, [*SPLITS, *evaluation])
    if name not in SPLITS or options.split == [TEST] or (name in evaluation and not training and not options.split):
        if name not in evaluation:
            raise UserError(f"'{name}' has no sequences to evaluate on; leave --split {TEST} out")
        if options.split not in ([], [TEST]):
            raise UserError(f"'{name}' has no splits; leave --split out")
        root = options.path or find_root(name)
        if not root.is_dir():
            raise UserError(f"{root} is not a folder")
        return check_evaluation(name, root, evaluation[name], given)
    return check_training(name, options.path or find_root(name), options.split, given)


if __name__ == "__main__":
    sys.exit(main())
