"""The options of the commands that report on raw results, and the scores that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ltr.errors import UserError

if TYPE_CHECKING:
    from pytracking.analysis.extract import Scores
    from pytracking.evaluation.data import Sequence
    from pytracking.evaluation.tracker import TrackerRun


def add_results_options(parser: argparse.ArgumentParser) -> None:
    """Which trackers, data set, results and protocol."""
    parser.add_argument(
        "trackers",
        nargs="+",
        metavar="TRACKER/PARAMETERS[:RUN][=NAME]",
        help="whose results, such as dimp/dimp_nceplus or dimp/dimp50:0,1,2=DiMP-50",
    )
    results = parser.add_argument_group("results")
    results.add_argument("--dataset_name", default="demo", metavar="NAME", help="data set (default: demo)")
    results.add_argument(
        "--dataset_path",
        type=Path,
        metavar="PATH",
        help="its folder, where it is not configured; or annotations alone: pysot's JSON, or a folder of "
        "<sequence>.txt",
    )
    results.add_argument("--sequence", nargs="+", metavar="NAME", help="only these sequences (default: all)")
    results.add_argument("--results", type=Path, metavar="FOLDER", help="default: results/tracking_results")
    results.add_argument("--protocol", default="pytracking", help="evaluation protocol (default: pytracking)")
    results.add_argument("--exclude_invalid_frames", action="store_true", help="leave frames without a target out")
    results.add_argument("--skip_missing_seq", action="store_true", help="leave out sequences without a result")
    results.add_argument("--merge_results", action="store_true", help="average the runs of one tracker")


def read_scores(args: argparse.Namespace) -> tuple[Scores, list[TrackerRun], list[Sequence], Path]:
    """The scores that parsed options ask for, with their runs, sequences and folder of raw results.

    Raises:
        UserError: an unknown name, or a result that is missing or cannot be read.
    """
    from pytracking.analysis.annotations import find_sequences
    from pytracking.analysis.extract import extract_scores
    from pytracking.evaluation.environment import results_root

    runs = [run for text in args.trackers for run in parse_runs(text)]
    sequences = find_sequences(args.dataset_name, args.dataset_path, args.sequence)
    results = results_root(args.results)
    scores = extract_scores(
        runs,
        sequences,
        results,
        protocol=args.protocol,
        exclude_invalid_frames=args.exclude_invalid_frames,
        skip_missing_seq=args.skip_missing_seq,
        merge_results=args.merge_results,
    )
    return scores, runs, sequences, results


def parse_runs(text: str) -> list[TrackerRun]:
    """'dimp/dimp50:0,1,2=DiMP-50' as runs; the trackers need not be installed, only their results.

    Raises:
        UserError: the text is not of that form.
    """
    from pytracking.evaluation.tracker import trackerlist

    names, _, display_name = text.partition("=")
    names, _, runs = names.partition(":")
    tracker, _, parameter = names.partition("/")
    numbers = runs.split(",") if runs else []
    if not tracker or not parameter or not all(number.isdigit() for number in numbers):
        raise UserError(f"'{text}' is not TRACKER/PARAMETERS[:RUN][=NAME], such as dimp/dimp50 or dimp/dimp50:0,1=DiMP")
    return trackerlist(tracker, parameter, [int(number) for number in numbers] or None, display_name or None)
