"""Run a tracker on a data set and keep its raw results.

python pytracking/run_tracker.py dimp dimp_nceplus_lite --dataset_name demo
python pytracking/run_tracker.py opencv kcf --dataset_name folder --dataset_path ~/videos --sequence dog
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytracking.errors import EXIT_FAILED_SEQUENCES, run_main


def build_parser() -> argparse.ArgumentParser:
    """The command line, which `python -m pytracking --help` lists too."""
    parser = argparse.ArgumentParser(
        prog="run_tracker.py",
        description="Run a tracker on a data set; raw results are written for each sequence as it is finished, and "
        "complete ones of an earlier run are kept.",
        epilog="`python -m pytracking trackers` and `python -m pytracking datasets` list the names.",
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument("tracker_param", help="its parameters, such as dimp_nceplus_lite or kcf")
    parser.add_argument("--dataset_name", default="demo", help="data set (default: demo, which comes with the package)")
    parser.add_argument("--dataset_path", type=Path, help="folder of the data set, where it is not configured")
    parser.add_argument(
        "--sequence", nargs="+", metavar="NAME", help="only these sequences, by name or number (default: all)"
    )
    parser.add_argument("--runid", type=int, help="number of this run, where a tracker is run several times")
    parser.add_argument("--results", type=Path, help="folder of raw results (default: results/tracking_results)")
    parser.add_argument("--force", action="store_true", help="track again even where a complete result exists")
    parser.add_argument(
        "--debug",
        nargs="?",
        type=int,
        const=1,
        default=0,
        metavar="LEVEL",
        help="1: print box, score, flag and time of every frame, and stop at the first failure with its traceback",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 when a sequence failed."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.evaluation.datasets import get_dataset
    from pytracking.evaluation.environment import results_root
    from pytracking.evaluation.running import report_failures, run_dataset
    from pytracking.evaluation.tracker import TrackerRun
    from pytracking.registry import find_tracker

    tracker, parameter = find_tracker(args.tracker_param, args.tracker_name)
    run = TrackerRun(tracker, parameter, args.runid)
    sequences = get_dataset(args.dataset_name, path=args.dataset_path, sequences=args.sequence)
    root = results_root(args.results)
    failures = run_dataset(sequences, [run], root, force=args.force, debug=args.debug > 0)
    report_failures(failures)
    print(f"results: {run.result_folder(root)}")
    return EXIT_FAILED_SEQUENCES if failures else 0


if __name__ == "__main__":
    sys.exit(run_main(main))
