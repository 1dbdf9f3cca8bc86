"""Text tables of scores, aligned for the terminal or as Markdown, and any table as a CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Listing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ltr.admin.files import write_text
from ltr.errors import printable
from pytracking.analysis.bootstrap import FEWEST_SEQUENCES, tracker_difference
from pytracking.analysis.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

_FASTEST_SHOWN = 9999
_SHOWN_BY = {"prec": ("Precision",), "norm_prec": ("Norm. precision",)}
# What a spreadsheet takes for a formula where a cell begins with it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def format_table(header: Listing[str], rows: Listing[Listing[str]], markdown: bool = False) -> str:
    """A table as text: the first column to the left, the others to the right.

    Names from outside cannot break it: control characters, and the bars of Markdown, are escaped.

    Args:
        header: one title a column.
        rows: cells, as many a row as the header has.
        markdown: with the bars of Markdown.
    """
    lines = [[printable(cell) for cell in row] for row in (header, *rows)]
    if markdown:
        lines = [[cell.replace("|", "\\|") for cell in row] for row in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]

    def line(cells: Listing[str]) -> str:
        padded = [cells[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    if markdown:
        rule = "| " + " | ".join(["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]) + " |"
    else:
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])


def write_csv(path: Path, frame: pd.DataFrame) -> Path:
    """Write a table as CSV, whole; returns `path`. No cell can be taken for a formula or for a second line.

    Raises:
        OSError: the file cannot be written.
    """
    cells = frame.copy()
    for name in cells.select_dtypes(["object", "string"]):
        cells[name] = [_csv_cell(value) for value in cells[name]]
    cells.columns = [_csv_cell(str(name)) for name in cells.columns]
    write_text(path, cells.to_csv(index=False, lineterminator="\n"))
    return path


def _csv_cell(value: object) -> object:
    if isinstance(value, (tuple, list)):
        value = " ".join(map(str, value))
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_FORMULA) else "") + printable(value)


def results_table(
    scores: Scores, markdown: bool = False, plot_types: Iterable[str] = ("success", "prec", "norm_prec")
) -> str:
    """One row a tracker, best first, with its metrics in percent and its frames a second.

    Where a tracker's row is the mean of several runs, the first metric is followed by their standard deviation.

    Args:
        scores: from `extract_scores`.
        markdown: with the bars of Markdown.
        plot_types: which metrics: 'success' (AUC, OP50, OP75; AO, SR0.5, SR0.75 under GOT-10k's protocol), 'prec'
            (precision), 'norm_prec' (normalised precision).
    """
    metrics = scores.metrics
    shown = [title for kind in plot_types for title in _SHOWN_BY.get(kind, list(metrics)[:3]) if title in metrics]
    means, spread = {title: scores.mean(metrics[title]) for title in shown}, scores.spread()

    def cell(title: str, k: int) -> str:
        known = title == scores.headline_name and not np.isnan(spread[k])
        return f"{means[title][k]:.1f}" + (f" ± {spread[k]:.1f}" if known else "")

    header = [f"{scores.dataset} ({count(len(scores.sequences), 'sequence')})", *shown, "FPS"]
    rows = [
        [scores.trackers[k], *(cell(title, k) for title in shown), _format_fps(scores.fps[k])] for k in scores.ranking
    ]
    return with_footer(format_table(header, rows, markdown), scores, markdown)


def per_sequence_table(scores: Scores, rows: np.ndarray | None = None, markdown: bool = False) -> str:
    """One row a sequence with every tracker's AUC (or AO), best tracker first, and their mean.

    Args:
        scores: scores of all sequences.
        rows: [S] bool, which sequences to show; all when left out. The mean is over those shown.
        markdown: with the bars of Markdown.
    """
    shown = np.ones(len(scores.sequences), bool) if rows is None else rows
    values = scores.headline[:, scores.ranking]
    body = [
        [scores.sequences[s], str(scores.frames[s]), *(f"{value:.1f}" for value in values[s])]
        for s in np.flatnonzero(shown)
    ]
    if body:
        body.append(["mean", "", *(f"{value:.1f}" for value in scores.mean(scores.headline, shown)[scores.ranking])])
    header = [f"{scores.headline_name} on {scores.dataset}", "frames", *(scores.trackers[k] for k in scores.ranking)]
    return with_footer(format_table(header, body, markdown), scores, markdown)


def attribute_table(scores: Scores, markdown: bool = False) -> str:
    """One row an attribute with the number of its sequences and every tracker's metric, best tracker first.

    Raises:
        UserError: no attributes are known.
    """
    rows = {**scores.attribute_rows(), "all": np.ones(len(scores.sequences), bool)}
    body = [
        [name, str(mask.sum()), *(f"{value:.1f}" for value in scores.mean(scores.headline, mask)[scores.ranking])]
        for name, mask in rows.items()
    ]
    header = [f"{scores.headline_name} on {scores.dataset}", "sequences", *(scores.trackers[k] for k in scores.ranking)]
    legend = scores.attribute_legend()
    return with_footer(format_table(header, body, markdown), scores, markdown, legend and f"attributes: {legend}")


def difference_table(scores: Scores, reference: str, markdown: bool = False, seed: int = 0) -> str:
    """Every tracker against one of them: difference of the headline metric, and its interval of 95 %.

    Args:
        scores: from `extract_scores`.
        reference: label or name of the tracker to compare with.
        markdown: with the bars of Markdown.
        seed: seed of the bootstrap.

    Raises:
        UserError: no tracker of that label.
    """
    reference = scores.trackers[scores.column(reference)]
    rivals = [scores.trackers[k] for k in scores.ranking if scores.trackers[k] != reference]
    found = {name: tracker_difference(scores, name, reference, seed=seed) for name in rivals}
    rows = [
        [name, f"{item.mean:+.2f}", f"{item.low:+.2f} ... {item.high:+.2f}", item.verdict]
        for name, item in found.items()
    ]
    header = [f"{scores.headline_name} against {reference}", "difference", "95 %", "excludes 0"]
    rule = f"paired bootstrap over {count(len(scores.sequences), 'sequence')}, 10000 samples, seed {seed}"
    if any(item.too_few for item in found.values()):
        rule += f"\nwarning: fewer than {FEWEST_SEQUENCES} sequences; their intervals are too narrow to decide anything"
    return with_footer(format_table(header, rows, markdown), scores, markdown, rule)


def with_footer(table: str, scores: Scores, markdown: bool, above: str = "") -> str:
    """A table with what has to stand beneath it: a rule of its own, the protocol and notes, one a line."""
    lines = [*above.splitlines(), f"protocol {scores.protocol.name}: {scores.protocol.rule}"]
    if scores.excludes_invalid:
        lines.append("frames without a valid annotation are left out")
    lines += [f"note: {note}" for note in scores.notes]
    return "\n".join([table, *([""] if markdown else []), *map(printable, lines)])


def count(number: int, noun: str) -> str:
    """'1 sequence', '2 sequences'."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _format_fps(fps: float) -> str:
    if np.isnan(fps):
        return "-"
    return f">{_FASTEST_SHOWN}" if fps > _FASTEST_SHOWN else f"{fps:.1f}"
