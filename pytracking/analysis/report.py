"""A self-contained HTML report of raw results: tables, interactive curves and playback in one file.

python -m pytracking.analysis.report dimp/dimp_nceplus_lite opencv/kcf --dataset_name demo
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ltr.errors import UserError, exit_status
from pytracking.report_options import add_results_options, read_scores

_EXAMPLES = """examples
  python -m pytracking.analysis.report dimp/dimp_nceplus_lite=ours opencv/csrt=CSRT
      all sequences of the demo data set; the first tracker is what differences are taken to
  python -m pytracking.analysis.report dimp/dimp50:0,1,2=DiMP-50 atom/default=ATOM --merge_results \\
      --dataset_name otb --against ATOM --play Soccer Ironman --output otb.html
      means over three runs with their spread, and two sequences to play
  python -m pytracking.analysis.report mdnet/published=MDNet --dataset_name otb --dataset_path OTB100.json --play none
      from annotations and raw results alone, where no video is at hand

The file loads nothing: open it from disk, mail it, or put it on a server."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pytracking.analysis.report",
        description="Write one HTML file with the results of trackers on a data set: figures with their intervals, "
        "interactive success and precision curves, a sortable table of the sequences, and playback of some of them "
        "with every tracker's box and its overlap over time.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_results_options(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: results/result_plots/DATASET/report.html")
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="tracker that differences are taken to, with intervals of 95 %% by a paired bootstrap over the sequences "
        "(default: the first)",
    )
    playback = parser.add_argument_group("playback")
    playback.add_argument(
        "--play",
        nargs="+",
        default=[],
        metavar="NAME",
        help="sequences to play; 'all'; 'none' (default: up to six: the worst of the first tracker, and those where "
        "trackers differ most)",
    )
    playback.add_argument(
        "--frame-height", type=int, default=360, metavar="PIXELS", help="of the played frames (default: 360)"
    )
    playback.add_argument(
        "--max-megabytes",
        type=float,
        default=25.0,
        metavar="MB",
        help="size of the file; longer sequences are thinned out to every k-th frame to keep below it (default: 25)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    arguments = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(arguments)
    if args.frame_height < 16:
        raise UserError(f"--frame-height {args.frame_height}: at least 16 pixels")
    if not 0 < args.max_megabytes <= 2000:
        raise UserError(f"--max-megabytes {args.max_megabytes:g}: a number above 0, at most 2000")
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.analysis.report_html import write_report

    scores, runs, sequences, results = read_scores(args)
    path = write_report(
        args.output or Path("results", "result_plots", args.dataset_name, "report.html"),
        scores,
        runs,
        sequences,
        results,
        against=args.against,
        play=args.play,
        frame_height=args.frame_height,
        max_megabytes=args.max_megabytes,
        command=shlex.join(["python", "-m", "pytracking.analysis.report", *arguments]),
    )
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
