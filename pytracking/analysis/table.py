"""The paper's table of published figures, beside what was measured here, each marked as what it is.

python -m pytracking.analysis.table dimp/dimp_nceplus=DiMP-NCE+ --dataset otb --dataset lasot
python -m pytracking.analysis.table mdnet/published=MDNet --dataset otb=annotations.json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.errors import UserError, exit_status
from pytracking.analysis.annotations import find_sequences
from pytracking.analysis.attributes import attribute_table
from pytracking.analysis.bootstrap import difference_table
from pytracking.analysis.comparison_plots import draw_attribute_radar, draw_scatter, draw_speed_accuracy
from pytracking.analysis.extract import Scores, extract_scores
from pytracking.analysis.plots import save_figure
from pytracking.analysis.protocol import get_protocol
from pytracking.analysis.tables import format_table
from pytracking.evaluation.environment import results_root
from pytracking.evaluation.tracker import TrackerRun
from pytracking.report_options import parse_runs

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Published:
    """The paper's table.

    Attributes:
        source: where it is printed.
        figure: what the numbers are.
        datasets: name of a data set -> its title.
        trackers: tracker -> data set -> figure in percent; a missing one is not in the paper.
        in_parentheses: the same, for the figures that the paper adds in parentheses.
    """

    source: str
    figure: str
    datasets: dict[str, str]
    trackers: dict[str, dict[str, float]]
    in_parentheses: dict[str, dict[str, float]]


def published_table() -> Published:
    """The paper's table, from the package's data.

    >>> published_table().trackers["DiMP-NCE+"]["otb"]
    70.7
    """
    return Published(**json.loads(_FILE.read_text(encoding="utf-8")))


def paper_table(published: Published, markdown: bool = False) -> str:
    """The table as the paper prints it: one row a tracker, one column a data set."""

    def cell(tracker: str, dataset: str) -> str:
        value, other = published.trackers[tracker].get(dataset), published.in_parentheses.get(tracker, {}).get(dataset)
        return "-" if value is None else f"{value:.1f}" + ("" if other is None else f" ({other:.1f})")

    rows = [[tracker, *(cell(tracker, dataset) for dataset in published.datasets)] for tracker in published.trackers]
    table = format_table(["published", *published.datasets.values()], rows, markdown)
    return f"{table}\n{chr(10) if markdown else ''}published: {published.source}\n{published.figure}"


def measured_table(published: Published, measured: list[Scores], markdown: bool = False) -> str:
    """One row a tracker and data set: what is published, what was measured, and the difference.

    A tracker is found among the published ones by its label; one that is not there has '-'.

    Args:
        published: the paper's table.
        measured: scores of each data set.
        markdown: with the bars of Markdown.
    """
    rows, notes = [], []
    for scores in measured:
        title = published.datasets.get(scores.dataset, scores.dataset)
        figures = scores.mean(scores.headline)
        for k, tracker in enumerate(scores.trackers):
            value = published.trackers.get(tracker, {}).get(scores.dataset)
            spread = scores.deviation[k]
            rows.append(
                [
                    tracker,
                    title,
                    "-" if value is None else f"{value:.1f}",
                    f"{figures[k]:.2f}" + (f" ± {spread:.2f}" if spread == spread else ""),
                    "-" if value is None else f"{figures[k] - value:+.2f}",
                    f"{scores.mean(scores.precision_figure)[k]:.2f}" if scores.protocol.has_precision else "-",
                    f"{scores.mean(scores.norm_precision_figure)[k]:.2f}" if scores.protocol.has_precision else "-",
                    str(len(scores.sequences)),
                ]
            )
        notes += [f"note: {title}: {note}" for note in scores.notes]
    protocol = measured[0].protocol
    figure = protocol.headline.upper()
    header = ["tracker", "data set", "published", f"measured {figure}", "difference", "precision", "norm. precision"]
    table = format_table([*header, "sequences"], rows, markdown)
    lines = [
        f"published: {published.source}",
        f"measured: from raw results on this machine, protocol {protocol.name}: {protocol.rule}",
        *notes,
    ]
    return "\n".join([table, *([""] if markdown else []), *lines])


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pytracking.analysis.table",
        description="Print the paper's table and, beside it, figures measured from raw results.",
    )
    parser.add_argument(
        "trackers",
        nargs="*",
        metavar="TRACKER/PARAMETERS[:RUN][=NAME]",
        help="whose results; NAME as in the table, such as dimp/dimp_nceplus:0,1,2=DiMP-NCE+",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME[=PATH]",
        help="data set, from its folder, pysot's JSON or a folder of <sequence>.txt with absent/; may be repeated",
    )
    parser.add_argument("--results", type=Path, help="folder of raw results (default: results/tracking_results)")
    parser.add_argument("--protocol", default="pytracking", help="evaluation protocol (default: pytracking)")
    parser.add_argument("--exclude_invalid_frames", action="store_true", help="leave frames without a target out")
    parser.add_argument("--skip_missing_seq", action="store_true", help="leave out sequences without a result")
    parser.add_argument("--attributes", action="store_true", help="figures for every attribute, too")
    parser.add_argument("--against", metavar="NAME", help="differences to this tracker with their intervals, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw speed, attributes and --against there, too")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    published = published_table()
    if not args.trackers and not args.dataset:
        print(paper_table(published, args.markdown))
        return 0
    if not args.trackers or not args.dataset:
        raise UserError("name trackers and, with --dataset, what they were run on")
    get_protocol(args.protocol)
    runs = [run for text in args.trackers for run in parse_runs(text)]
    measured = [_measure(text, runs, args) for text in args.dataset]
    print(measured_table(published, measured, args.markdown))
    for scores in measured:
        if args.attributes:
            print(f"\n{attribute_table(scores, args.markdown)}")
        if args.against:
            print(f"\n{difference_table(scores, args.against, args.markdown, args.seed)}")
        if args.plots:
            print("\n" + "\n".join(map(str, _write_plots(scores, args.plots / scores.dataset, args.against))))
    return 0


def _write_plots(scores: Scores, folder: Path, against: str | None) -> list[Path]:
    """The comparison plots that the results allow: without times no speed, without attributes no radar."""
    figures = {}
    if np.isfinite(scores.fps).any():
        figures["speed_accuracy"] = draw_speed_accuracy(scores)
    if len({name for attributes in scores.attributes for name in attributes or ()}) >= 3:
        figures["attribute_radar"] = draw_attribute_radar(scores)
    for number, tracker in enumerate(scores.trackers):
        if against is not None and tracker != against:
            figures[f"scatter_{number}"] = draw_scatter(scores, tracker, against)
    return [path for name, figure in figures.items() for path in save_figure(figure, folder / name)]


def _measure(text: str, runs: list[TrackerRun], args: argparse.Namespace) -> Scores:
    name, _, place = text.partition("=")
    return extract_scores(
        runs,
        find_sequences(name, Path(place).expanduser() if place else None),
        results_root(args.results),
        protocol=args.protocol,
        exclude_invalid_frames=args.exclude_invalid_frames,
        skip_missing_seq=args.skip_missing_seq,
        merge_results=True,
    )


if __name__ == "__main__":
    sys.exit(exit_status(main))
