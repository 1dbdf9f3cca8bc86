"""How well trackers do on a folder of sequences, group by group, with paired intervals.

    python -m experiments.benchmarks.accuracy FOLDER
    python -m experiments.benchmarks.accuracy FOLDER --trackers dimp/dimp_nceplus_lite --peers opencv/csrt opencv/nano

A group is a folder with sequences inside FOLDER, in the layout of the data set `folder`. Complete results of an earlier
run are kept. The first tracker is the one that the others are compared with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import command_line
from ltr.errors import EXIT_FAILED_SEQUENCES, UserError, exit_status
from pytracking.analysis.bootstrap import tracker_difference
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.pictures import worst_sequences
from pytracking.analysis.scores import Scores
from pytracking.analysis.tables import format_table, with_footer, write_csv
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import report_failures, run_dataset
from pytracking.evaluation.tracker import TrackerRun
from pytracking.registry import find_tracker

PEERS = ("opencv/csrt", "opencv/kcf")
_WORST = 5


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line("benchmarks.accuracy", __doc__)
    parser.add_argument("folder", type=Path, help="its sub-folders with sequences are the groups")
    names: dict[str, Any] = {"nargs": "+", "metavar": "TRACKER/PARAMETERS"}
    parser.add_argument("--trackers", default=["dimp/dimp_nceplus_lite"], help="ours; the first is the base", **names)
    parser.add_argument(
        "--peers", nargs="*", metavar="TRACKER/PARAMETERS", help=f"others (named without any: {' '.join(PEERS)})"
    )
    parser.add_argument("--results", type=Path, default=Path("results/accuracy"), help="default: results/accuracy")
    parser.add_argument("--sequence", nargs="+", metavar="NAME", help="only these sequences (default: all)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="metrics of every sequence and tracker, as CSV")
    return parser


def groups(sequences: list[Sequence], folder: Path) -> dict[str, np.ndarray]:
    """Group -> [S] bool, the sequences that lie in that sub-folder; 'all' is the last."""
    places = [sequence.annotation_path.resolve().relative_to(folder.resolve()).parts for sequence in sequences]
    # A sequence that lies in FOLDER itself has no group.
    of = [parts[0] if len(parts) > 2 else "" for parts in places]
    found = {name: np.array([other == name for other in of]) for name in sorted(set(of)) if name}
    return {**found, "all": np.ones(len(sequences), bool)}


def group_table(scores: Scores, rows: dict[str, np.ndarray]) -> str:
    """One row a group and tracker: AUC, precision, frames a second, and the first tracker's lead with its interval."""
    first, body = scores.trackers[0], []
    for name, mask in rows.items():
        auc, precision = scores.mean(scores.auc, mask), scores.mean(scores.precision, mask)
        for k, tracker in enumerate(scores.trackers):
            lead, decided = "", ""
            if k:
                found = tracker_difference(scores, first, tracker, mask)
                lead, decided = f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]", found.verdict
            fps = "" if np.isnan(scores.fps[k]) else f"{scores.fps[k]:.1f}"
            body.append([name, tracker, str(mask.sum()), f"{auc[k]:.1f}", f"{precision[k]:.1f}", fps, lead, decided])
    header = ["group", "tracker", "sequences", "AUC", "precision", "FPS", f"lead of {first}, 95 %", "excludes 0"]
    return with_footer(format_table(header, body), scores, False, "frames a second are those of all groups together")


def worst_table(scores: Scores) -> str:
    """The sequences on which the first tracker does worst, with every tracker's AUC."""
    names = worst_sequences(scores, scores.trackers[0], _WORST)
    body = [[name, *(f"{value:.1f}" for value in scores.auc[scores.sequences.index(name)])] for name in names]
    return format_table([f"worst of {scores.trackers[0]}", *scores.trackers], body)


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 where a tracker failed on a sequence, which is then left out."""
    args = build_parser().parse_args(argv)
    peers = [] if args.peers is None else args.peers or list(PEERS)
    runs = [TrackerRun(*find_tracker(name)) for name in dict.fromkeys([*args.trackers, *peers])]
    sequences = get_dataset("folder", path=args.folder, sequences=args.sequence)
    failures = run_dataset(sequences, runs, args.results)
    report_failures(failures)
    failed = {failure.sequence for failure in failures}
    kept = [sequence for sequence in sequences if sequence.name not in failed and sequence.has_ground_truth]
    if not kept:
        raise UserError(f"{args.folder}: no sequence with a result and an annotation of every frame")
    scores = extract_scores(runs, kept, args.results)
    print(f"\n{group_table(scores, groups(kept, args.folder))}\n\n{worst_table(scores)}")
    if args.csv:
        print(write_csv(args.csv, scores.to_pandas()))
    return EXIT_FAILED_SEQUENCES if failures else 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
