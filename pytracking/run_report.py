"""Tables and plots of raw results, also of results that another program wrote.

python pytracking/run_report.py dimp/dimp_nceplus_lite opencv/kcf --dataset_name demo
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ltr.errors import exit_status
from pytracking.report_options import add_results_options, read_scores


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_report.py",
        description="Print AUC, precision and normalised precision of trackers on a data set, overall and for each "
        "sequence, and draw the plots.",
    )
    add_results_options(parser)
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
    from pytracking.analysis.plot_results import write_plots
    from pytracking.analysis.tables import per_sequence_table, results_table

    scores, runs, sequences, results = read_scores(args)
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


if __name__ == "__main__":
    sys.exit(exit_status(main))
