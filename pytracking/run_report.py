"""Tables, plots and an HTML page of raw results, also of results that another program wrote.

python pytracking/run_report.py dimp/dimp_nceplus_lite opencv/kcf --dataset_name demo
python pytracking/run_report.py mdnet/published=MDNet --dataset_name otb=OTB100.json lasot=annotations --published
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltr.errors import UserError, exit_status, list_some, printable
from pytracking.evaluation.run_options import report_unreadable

if TYPE_CHECKING:
    from pytracking.analysis.protocol import Protocol
    from pytracking.analysis.scores import Scores
    from pytracking.evaluation.data import Sequence
    from pytracking.evaluation.datasets import Reading
    from pytracking.evaluation.tracker import TrackerRun

_IN_OUTPUT = Path()
_EXAMPLES = """examples
  report dimp/dimp_nceplus_lite=ours opencv/csrt=CSRT
      tables and plots of the demo data set
  report dimp/dimp50:0,1,2=DiMP-50 atom/default=ATOM --merge_results --dataset_name otb --against ATOM --html
      one page that loads nothing: means over three runs with their spread, curves, and playback of sequences
  report mdnet/published=MDNet --dataset_name otb=OTB100.json lasot=annotations --published --csv scores.csv
      beside the paper's table, from annotations and raw results alone, where no video is on disk
  report --published
      the paper's table"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_report.py",
        description="Print AUC, precision and normalised precision of trackers on data sets, overall and for each "
        "sequence, draw plots, and write an HTML page. Without --table, --plots or --html: tables and plots.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "trackers",
        nargs="*",
        metavar="TRACKER/PARAMETERS[:RUN][=NAME]",
        help="trackers to compare, such as dimp/dimp_nceplus or dimp/dimp50:0,1,2=DiMP-50",
    )
    data = parser.add_argument_group("results")
    data.add_argument(
        "--dataset_name",
        "--dataset",
        nargs="+",
        action="extend",
        metavar="NAME[=PATH]",
        help="data sets (default: demo), each with its folder or annotations where they are not configured",
    )
    data.add_argument(
        "--dataset_path",
        type=Path,
        metavar="PATH",
        help="folder of the data set, where there is one and it is not configured; or annotations alone: pysot's JSON, "
        "or a folder of <sequence>.txt",
    )
    data.add_argument(
        "--sequence", nargs="+", action="extend", metavar="NAME", help="only these sequences (default: all)"
    )
    data.add_argument("--results", type=Path, metavar="FOLDER", help="raw results (default: results/tracking_results)")
    data.add_argument("--protocol", default="pytracking", help="evaluation protocol (default: pytracking)")
    data.add_argument("--exclude_invalid_frames", action="store_true", help="leave out frames without a target")
    data.add_argument(
        "--skip_missing_seq", action="store_true", help="leave out sequences that have no result or are not on disk"
    )
    data.add_argument("--merge_results", action="store_true", help="average the runs of one tracker")
    made = parser.add_argument_group("output")
    made.add_argument("--table", action="store_true", help="tables")
    made.add_argument("--plots", action="store_true", help="plots as PNG and PDF, in --output")
    made.add_argument(
        "--html",
        type=Path,
        nargs="?",
        const=_IN_OUTPUT,
        metavar="FILE.html",
        help="a page with curves and playback (default: report.html in --output)",
    )
    made.add_argument("--csv", type=Path, metavar="FILE", help="metrics of every sequence, tracker and run, as CSV")
    made.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder of plots and page (default: results/result_plots/DATASET)"
    )
    made.add_argument(
        "--published", action="store_true", help="a table beside the paper's figures, instead of the others"
    )
    made.add_argument("--attributes", action="store_true", help="also a table of the sequences that share an attribute")
    made.add_argument(
        "--against",
        metavar="TRACKER",
        help="also the differences to this tracker, by name or label, with intervals of 95 %% by a paired bootstrap "
        "over the sequences (in the page: to the first tracker by default)",
    )
    made.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    made.add_argument("--markdown", action="store_true", help="tables in Markdown")
    page = parser.add_argument_group("playback in the page")
    page.add_argument(
        "--play",
        nargs="+",
        default=[],
        metavar="NAME",
        help="sequences to play; 'all'; 'none' (default: up to six: the worst of the first tracker, and those where "
        "trackers differ most)",
    )
    page.add_argument(
        "--frame-height", type=int, default=360, metavar="PIXELS", help="height of the played frames (default: 360)"
    )
    page.add_argument(
        "--max-megabytes",
        type=float,
        default=25.0,
        metavar="MB",
        help="size of the file; longer sequences are thinned out to every k-th frame to keep below it (default: 25)",
    )
    return parser


@dataclass(frozen=True)
class Evaluated:
    """The scores of one data set, with what they were made of, and name -> what is wrong with what is left out."""

    scores: Scores
    runs: list[TrackerRun]
    sequences: list[Sequence]
    results: Path
    unreadable: dict[str, str]


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 when a sequence cannot be read; the others are shown."""
    arguments = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(arguments)
    _check(args)
    names = args.dataset_name or ["demo"]
    if args.published and not args.trackers:
        if args.dataset_name:
            raise UserError("name trackers and, with --dataset_name, what they were run on")
        from pytracking.analysis.published import paper_table, published_table

        print(paper_table(published_table(), args.markdown))
        return 0
    evaluated = [_evaluate(args, name) for name in names]
    if args.published:
        from pytracking.analysis.published import measured_table, published_table

        print(measured_table(published_table(), [item.scores for item in evaluated], args.markdown), end="\n\n")
    default = not (args.table or args.plots or args.published or args.html is not None)
    for item in evaluated:
        own_folder = args.output is None or len(evaluated) > 1
        folder = (args.output or Path("results", "result_plots")) / (item.scores.dataset if own_folder else "")
        _print_tables(args, item.scores, args.table or default, args.published)
        if args.plots or default:
            from pytracking.analysis.comparisons import write_comparisons
            from pytracking.analysis.plot_results import write_plots

            for path in [*write_plots(item.scores, folder), *write_comparisons(item.scores, folder, args.against)]:
                print(path)
        if args.html is not None:
            _print_page(args, item, folder, arguments)
    if args.csv:
        import pandas as pd

        from pytracking.analysis.tables import write_csv

        print(write_csv(args.csv, pd.concat([item.scores.to_pandas() for item in evaluated])))
    return report_unreadable({name: text for item in evaluated for name, text in item.unreadable.items()}, "scored")


def _check(args: argparse.Namespace) -> None:
    """Refuse options that are wrong by themselves, before anything is read."""
    from pytracking.analysis.protocol import get_protocol

    get_protocol(args.protocol)
    if not args.trackers and not args.published:
        raise UserError("name trackers whose results are to be shown, such as dimp/dimp_nceplus_lite; see --help")
    if args.dataset_path is not None and len(args.dataset_name or ()) > 1:
        raise UserError("--dataset_path is for one data set; give several as --dataset_name NAME=PATH NAME=PATH")
    if args.html not in (None, _IN_OUTPUT):
        if args.html.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--html {args.html}: a file that ends with .html; name the trackers before the options")
        if len(args.dataset_name or ()) > 1:
            raise UserError("--html takes no file with several data sets: each has its page in a folder of --output")
    if args.frame_height < 16:
        raise UserError(f"--frame-height {args.frame_height}: at least 16 pixels")
    if not 0 < args.max_megabytes <= 2000:
        raise UserError(f"--max-megabytes {args.max_megabytes:g}: a number above 0, at most 2000")


def _evaluate(args: argparse.Namespace, name: str) -> Evaluated:
    """Read and score the results on one data set, given as NAME or NAME=PATH."""
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.analysis.annotations import find_sequences
    from pytracking.analysis.extract import extract_scores
    from pytracking.analysis.measured_attributes import with_measured_attributes
    from pytracking.analysis.protocol import get_protocol
    from pytracking.evaluation.tracker import parse_runs, results_root

    runs = list(dict.fromkeys(run for text in args.trackers for run in parse_runs(text)))
    dataset, _, place = name.partition("=")
    path = Path(place).expanduser() if place else args.dataset_path
    reading = find_sequences(dataset, path, args.sequence, args.skip_missing_seq)
    sequences = _scorable(reading, get_protocol(args.protocol))
    if args.attributes:
        sequences = with_measured_attributes(sequences)
    results = results_root(args.results)
    scores = extract_scores(
        runs,
        sequences,
        results,
        protocol=args.protocol,
        exclude_invalid_frames=args.exclude_invalid_frames,
        skip_missing_seq=args.skip_missing_seq,
        merge_results=args.merge_results or args.published,
    )
    if reading.unreadable:
        left_out = f"{len(reading.unreadable)} of {len(sequences) + len(reading.unreadable)} sequences left out"
        scores.notes.append(f"{left_out}, as they cannot be read: {printable(list_some(reading.unreadable))}")
    return Evaluated(scores, runs, sequences, results, reading.unreadable)


def _scorable(reading: Reading, protocol: Protocol) -> list[Sequence]:
    """The sequences that have a score; the others, named in a warning, are put to those that cannot be read."""
    from pytracking.evaluation.datasets import unreadable_text

    sequences = []
    for sequence in reading.sequences:
        try:
            if not sequence.has_ground_truth:
                raise UserError(f"{sequence.annotation_path}: only the first box is known, which has no score")
            if protocol.uses_image_size and sequence.frames[0].exists():
                _ = sequence.image_size
            sequences.append(sequence)
        except UserError as error:
            reading.unreadable[sequence.name] = str(error)
    if not sequences:
        raise UserError(unreadable_text(reading.unreadable))
    for name, message in reading.unreadable.items():
        print(printable(f"warning: {name} is left out: {message}"), file=sys.stderr)
    return sequences


def _print_tables(args: argparse.Namespace, scores: Scores, wanted: bool, published: bool) -> None:
    from pytracking.analysis.tables import attribute_table, difference_table, per_sequence_table, results_table

    tables = []
    if wanted:
        tables += [results_table(scores, args.markdown), per_sequence_table(scores, markdown=args.markdown)]
    if args.attributes and (wanted or published):
        tables.append(attribute_table(scores, args.markdown))
    if args.against and (wanted or published):
        tables.append(difference_table(scores, args.against, args.markdown, args.seed))
    for table in tables:
        print(f"{table}\n")


def _print_page(args: argparse.Namespace, item: Evaluated, folder: Path, arguments: Listing[str]) -> None:
    from pytracking.analysis.report.html import write_report

    path = write_report(
        folder / "report.html" if args.html == _IN_OUTPUT else args.html,
        item.scores,
        item.runs,
        item.sequences,
        item.results,
        against=args.against,
        play=args.play,
        frame_height=args.frame_height,
        max_megabytes=args.max_megabytes,
        command=shlex.join(["python", "-m", "pytracking", "report", *arguments]),
        unreadable=item.unreadable,
    )
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    sys.exit(exit_status(main))
