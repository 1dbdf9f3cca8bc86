"""Run a tracker on a data set and keep its raw results.

python pytracking/run_tracker.py dimp dimp_nceplus_lite --dataset_name demo
python pytracking/run_tracker.py opencv kcf --dataset_name folder --dataset_path ~/videos --sequence dog
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ltr.errors import exit_status
from pytracking.evaluation.run_options import add_run_options, add_set_option, numbered_runs, overrides_of, track

_EXAMPLES = """examples:
  run_tracker.py dimp dimp_nceplus_lite                                      the demo clips, in this process
  run_tracker.py dimp dimp_nceplus --dataset_name otb --runs 5 --threads 4   five runs, four worker processes
  run_tracker.py opencv kcf --dataset_name folder --dataset_path ~/videos --sequence dog
  run_tracker.py opencv nano --set net_path=~/nanotrack                      a network's file or folder
  RAY_ADDRESS=auto run_tracker.py dimp dimp_nceplus --dataset_name lasot --backend ray --gpus_per_worker 0.5

A command that was stopped goes on where it was when given again. `python -m pytracking trackers` and
`python -m pytracking datasets` list the names."""


def build_parser() -> argparse.ArgumentParser:
    """The command line, which `python -m pytracking --help` lists too."""
    parser = argparse.ArgumentParser(
        prog="run_tracker.py",
        description="Run a tracker on a data set; raw results are written for each sequence as it is finished, and\n"
        "complete ones of an earlier run are kept.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tracker_name", help="tracker, such as dimp or opencv")
    parser.add_argument(
        "tracker_param", nargs="?", help="its parameters, such as dimp_nceplus_lite or kcf, which will do alone"
    )
    parser.add_argument("--dataset_name", default="demo", help="data set (default: demo, which comes with the package)")
    parser.add_argument("--dataset_path", type=Path, help="folder of the data set, where it is not configured")
    parser.add_argument(
        "--sequence", nargs="+", metavar="NAME", help="only these sequences, by name or number (default: all)"
    )
    parser.add_argument("--runid", type=int, help="number of this run, which decides its seeds (default: no number)")
    parser.add_argument("--runs", type=int, metavar="N", help="the runs 0 to N - 1, each with its own seeds")
    add_set_option(parser)
    add_run_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 when a sequence failed."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.evaluation.datasets import read_dataset
    from pytracking.evaluation.tracker import trackerlist
    from pytracking.registry import find_tracker

    run_ids = numbered_runs(args.runid, args.runs)
    names = [args.tracker_name] if args.tracker_param is None else [args.tracker_param, args.tracker_name]
    tracker, parameter = find_tracker(*names)
    runs = [run for run_id in run_ids for run in trackerlist(tracker, parameter, run_id)]
    overrides = overrides_of(args, tracker, parameter)
    reading = read_dataset(
        args.dataset_name, path=args.dataset_path, sequences=args.sequence, skip_missing=args.skip_missing
    )
    return track(args, reading.sequences, runs, [args.dataset_name], reading, overrides)


if __name__ == "__main__":
    sys.exit(exit_status(main))
