"""Text tables of scores, aligned for the terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Listing

import numpy as np

from pytracking.analysis.extract import Scores

_FASTEST_SHOWN = 9999


def format_table(header: Listing[str], rows: Listing[Listing[str]], markdown: bool = False) -> str:
    """A table as text: the first column to the left, the others to the right.

    Args:
        header: one title a column.
        rows: cells, as many a row as the header has.
        markdown: with the bars of Markdown.
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Listing[str]) -> str:
        padded = [cells[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    if markdown:
        rule = "| " + " | ".join(["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]) + " |"
    else:
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def results_table(
    scores: Scores, markdown: bool = False, plot_types: Iterable[str] = ("success", "prec", "norm_prec")
) -> str:
    """One row a tracker, best first, with its figures in percent and its frames a second.

    Where a tracker's row is the mean of several runs, the first figure is followed by their standard deviation.

    Args:
        scores: from `extract_scores`.
        markdown: with the bars of Markdown.
        plot_types: which figures: 'success' (AUC, OP50, OP75; AO, SR0.5, SR0.75 under GOT-10k's protocol), 'prec'
            (precision), 'norm_prec' (normalised precision).
    """
    average = scores.protocol.headline == "ao"
    figures: dict[str, dict[str, np.ndarray]] = {
        "success": {
            "AO" if average else "AUC": scores.headline,
            "SR0.5" if average else "OP50": scores.overlap_precision(0.5),
            "SR0.75" if average else "OP75": scores.overlap_precision(0.75),
        },
        "prec": {"Precision": scores.precision_figure},
        "norm_prec": {"Norm. precision": scores.norm_precision_figure},
    }
    columns = {
        title: scores.mean(column)
        for plot_type in plot_types
        if scores.protocol.has_precision or plot_type == "success"
        for title, column in figures[plot_type].items()
    }
    header = [f"{scores.dataset} ({_count(len(scores.sequences), 'sequence')})", *columns, "FPS"]
    rows = [
        [
            scores.trackers[k],
            *(_format_figure(scores, title, column[k], k) for title, column in columns.items()),
            _format_fps(scores.fps[k]),
        ]
        for k in ranking(scores)
    ]
    return format_table(header, rows, markdown) + ("\n\n" if markdown else "\n") + footer(scores)


def per_sequence_table(scores: Scores, rows: np.ndarray | None = None, markdown: bool = False) -> str:
    """One row a sequence with every tracker's AUC (or AO), best tracker first, and their mean.

    Args:
        scores: of all sequences.
        rows: [S] bool, which sequences to show; all when left out. The mean is over those shown.
        markdown: with the bars of Markdown.
    """
    shown = np.ones(len(scores.sequences), bool) if rows is None else rows
    order = ranking(scores)
    auc = scores.headline[:, order]
    header = [f"{scores.protocol.headline.upper()} on {scores.dataset}", "frames", *(scores.trackers[k] for k in order)]
    body = [
        [scores.sequences[s], str(scores.frames[s]), *(f"{value:.1f}" for value in auc[s])]
        for s in np.flatnonzero(shown)
    ]
    if shown.any():
        body.append(["mean", "", *(f"{value:.1f}" for value in scores.mean(auc, shown))])
    return format_table(header, body, markdown) + ("\n\n" if markdown else "\n") + footer(scores)


def footer(scores: Scores) -> str:
    """Protocol and notes, one a line: what has to stand beside every number."""
    lines = [f"protocol {scores.protocol.name}: {scores.protocol.rule}"]
    if scores.excludes_invalid:
        lines.append("frames without a valid annotation are left out")
    return "\n".join([*lines, *(f"note: {note}" for note in scores.notes)])


def ranking(scores: Scores) -> list[int]:
    """Columns of the trackers, best headline figure first; equal ones keep their order."""
    return [int(k) for k in np.argsort(-scores.mean(scores.headline), kind="stable")]


def _format_figure(scores: Scores, title: str, value: float, k: int) -> str:
    spread = scores.deviation[k]
    return f"{value:.1f}" + (f" ± {spread:.1f}" if title in ("AUC", "AO") and not np.isnan(spread) else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _format_fps(fps: float) -> str:
    if np.isnan(fps):
        return "-"
    return f">{_FASTEST_SHOWN}" if fps > _FASTEST_SHOWN else f"{fps:.1f}"
