"""The whole path in one command: track the demo clips with several trackers, compare them, write a report and a video.

python pytracking/run_demo.py
python pytracking/run_demo.py --trackers opencv/kcf static/default --output results/quick
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from ltr.errors import EXIT_FAILED_SEQUENCES, exit_status
from pytracking.evaluation.run_options import find_runs

DEFAULT_TRACKERS = ("dimp/dimp_nceplus_lite", "opencv/csrt", "opencv/kcf", "static/default")
_DISPLAY_NAMES = {
    "dimp/dimp_nceplus_lite": "DiMP-NCE+ lite",
    "opencv/csrt": "CSRT",
    "opencv/kcf": "KCF",
    "static/default": "static box",
}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_demo.py",
        description="Track the demo clips with several trackers, print how well each did, and write an HTML report, "
        "success and precision plots, an annotated video and a sheet of frames.",
    )
    parser.add_argument(
        "--trackers",
        nargs="+",
        default=list(DEFAULT_TRACKERS),
        metavar="[TRACKER/]PARAMETERS[=LABEL]",
        help=f"the first one is drawn thick (default: {' '.join(DEFAULT_TRACKERS)})",
    )
    parser.add_argument("--sequence", nargs="+", metavar="NAME", help="only these clips (default: all five)")
    parser.add_argument("--output", type=Path, default=Path("results/demo"), help="folder (default: results/demo)")
    parser.add_argument("--force", action="store_true", help="track again even where a complete result exists")
    parser.add_argument("--no_video", action="store_true", help="leave out the annotated video and the frames")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 when a tracker failed on a clip."""
    arguments = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(arguments)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.analysis.extract import extract_scores
    from pytracking.analysis.pictures import write_frames, write_video
    from pytracking.analysis.plot_results import write_plots
    from pytracking.analysis.report.html import write_report
    from pytracking.analysis.tables import per_sequence_table, results_table
    from pytracking.evaluation.datasets import get_dataset
    from pytracking.evaluation.running import report_failures, run_dataset

    runs = [
        dataclasses.replace(run, display_name=run.display_name or _DISPLAY_NAMES.get(run.label))
        for run in find_runs(args.trackers)
    ]
    sequences = get_dataset("demo", sequences=args.sequence)
    raw = args.output / "tracking_results"
    failures = run_dataset(sequences, runs, raw, force=args.force)
    report_failures(failures)
    failed = {failure.sequence for failure in failures}
    sequences = [sequence for sequence in sequences if sequence.name not in failed]
    if not sequences:
        return EXIT_FAILED_SEQUENCES
    scores = extract_scores(runs, sequences, raw)
    print(f"\n{results_table(scores)}\n\n{per_sequence_table(scores)}\n")
    if failed:
        print(f"left out, as a tracker failed: {', '.join(sorted(failed))}\n")
    command = shlex.join(["python", "-m", "pytracking", "demo", *arguments])
    report = write_report(args.output / "report.html", scores, runs, sequences, raw, command=command)
    written = [report, *write_plots(scores, args.output)]
    if not args.no_video:
        written.append(write_frames(args.output / "demo_frames.jpg", sequences, runs, raw))
        written.append(write_video(args.output / "demo.mp4", sequences, runs, raw))
    print("written (open the first one in a browser):")
    for path in [*written, raw]:
        print(f"  {path}")
    return EXIT_FAILED_SEQUENCES if failures else 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
