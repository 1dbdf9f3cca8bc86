"""Tables and plots of raw results, also of results that another program wrote.

python pytracking/run_report.py dimp/dimp_nceplus_lite opencv/kcf --dataset_name demo
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytracking.errors import UserError, run_main

if TYPE_CHECKING:
    from pytracking.evaluation.tracker import TrackerRun


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_report.py",
        description="Print AUC, precision and normalised precision of trackers on a data set, overall and for each "
        "sequence, and draw the plots.",
    )
    parser.add_argument(
        "trackers",
        nargs="+",
        metavar="TRACKER/PARAMETERS[:RUN][=NAME]",
        help="whose results, such as dimp/dimp_nceplus or dimp/dimp50:3=DiMP-50",
    )
    parser.add_argument("--dataset_name", default="demo", help="data set (default: demo)")
    parser.add_argument("--dataset_path", type=Path, help="folder of the data set, where it is not configured")
    parser.add_argument("--sequence", nargs="+", metavar="NAME", help="only these sequences (default: all)")
    parser.add_argument("--results", type=Path, help="folder of raw results (default: results/tracking_results)")
    parser.add_argument("--protocol", default="pytracking", help="evaluation protocol (default: pytracking)")
    parser.add_argument("--exclude_invalid_frames", action="store_true", help="leave frames without a target out")
    parser.add_argument("--skip_missing_seq", action="store_true", help="leave out sequences without a result")
    parser.add_argument("--merge_results", action="store_true", help="average the runs of one tracker")
    parser.add_argument("--attributes", action="store_true", help="a table of the sequences that share an attribute")
    parser.add_argument(
        "--against",
        metavar="TRACKER",
        help="differences to this tracker, with intervals of 95 %% by a paired bootstrap over the sequences",
    )
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--report_name", help="folder of the plots (default: the data set's name)")
    parser.add_argument(
        "--plot_path", type=Path, default=Path("results/result_plots"), help="default: results/result_plots"
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write a self-contained page with playback; `python -m pytracking.analysis.report` has its options",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.analysis.attributes import attribute_table
    from pytracking.analysis.bootstrap import difference_table
    from pytracking.analysis.extract import extract_scores
    from pytracking.analysis.plot_results import write_plots
    from pytracking.analysis.tables import per_sequence_table, results_table
    from pytracking.evaluation.datasets import get_dataset
    from pytracking.evaluation.environment import results_root

    runs = [run for text in args.trackers for run in parse_runs(text)]
    sequences = get_dataset(args.dataset_name, path=args.dataset_path, sequences=args.sequence)
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
    print(f"{results_table(scores, args.markdown)}\n\n{per_sequence_table(scores, markdown=args.markdown)}\n")
    if args.attributes:
        print(f"{attribute_table(scores, args.markdown)}\n")
    if args.against:
        print(f"{difference_table(scores, args.against, args.markdown)}\n")
    for path in write_plots(scores, args.plot_path / (args.report_name or args.dataset_name)):
        print(path)
    if args.html:
        from pytracking.analysis.report_html import write_report

        print(write_report(args.html, scores, runs, sequences, results, against=args.against))
    return 0


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


if __name__ == "__main__":
    sys.exit(run_main(main))
