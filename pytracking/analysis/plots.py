"""Success and precision plots, as PNG to look at and PDF for a paper."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ltr.admin.files import whole_file
from ltr.errors import printable
from pytracking.analysis.scores import PLOTS, Scores
from pytracking.analysis.tables import count
from pytracking.visualise import COLOURS

_LONGEST_NAME = 44
_LINES = ("-", "--", "-.", ":")
# Without dates, so that the same results give the same files.
_METADATA: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None, "ModDate": None}}


def draw_curves(scores: Scores, plot_type: str) -> Figure:
    """A plot of every tracker's curve, averaged over the sequences, the best first in the legend.

    Args:
        scores: from `extract_scores`.
        plot_type: 'success', 'prec' or 'norm_prec'.

    Raises:
        UserError: unknown plot type.
    """
    curves, plot = scores.curves(plot_type), PLOTS[plot_type]
    values, metric = scores.mean(curves.values), scores.mean(curves.metric)
    figure, axes = new_figure((4.8, 3.9))
    for k in map(int, np.argsort(-metric, kind="stable")):
        # Colour and dashes belong to the tracker, not to its rank, so that they are the same in every plot of a report.
        style, colour = tracker_style(k)
        label = f"{plain_text(scores.trackers[k])} [{metric[k]:.1f}]"
        axes.plot(curves.thresholds, values[k], style, color=colour, linewidth=1.8, label=label)
    axes.set(xlim=(curves.thresholds[0], curves.thresholds[-1]), ylim=(0, 100))
    title = f"{plot.title} on {scores.dataset}, {count(len(scores.sequences), 'sequence')}"
    bracket = {"success": scores.headline_name, "prec": "at 20 px", "norm_prec": "at 0.20"}[plot_type]
    add_legend(axes, f"tracker [{bracket}]")
    plain_axes(axes, title, plot.xlabel, plot.ylabel)
    return with_caption(figure, caption(scores, plot_type))


def new_figure(size: tuple[float, float], projection: str | None = None) -> tuple[Figure, Axes]:
    """A figure of (width, height) in inches, with room for a caption, and its empty axes."""
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(rect=(0, 0.03, 1, 0.97)))
    return figure, figure.add_subplot(projection=projection)


def plain_text(text: str) -> str:
    """A name as matplotlib shows it letter by letter: no formula, no control character, and never out of a legend."""
    shown = printable(text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…").replace("$", "\\$")
    # Matplotlib leaves labels that begin with an underscore out of legends; a zero-width space does not show.
    return f"\u200b{shown}" if shown.startswith("_") else shown


def set_title(axes: Axes, text: str) -> None:
    """A title, broken into lines and made smaller where the axes are too narrow for it."""
    width = axes.get_figure(root=True).get_figwidth()  # type: ignore[union-attr]
    lines = textwrap.wrap(printable(text), int(11 * width)) or [""]
    axes.set_title("\n".join(lines[:4]).replace("$", "\\$"), fontsize=10 if len(lines) == 1 else 9)


def add_legend(axes: Axes, title: str | None = None, below: float = -0.16) -> None:
    """A legend beneath the axes, where it covers no curve; the figure grows by its height.

    Args:
        axes: with labelled lines.
        title: title of the legend.
        below: its upper edge, as a part of the axes' height.
    """
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    figure = axes.get_figure(root=True)
    width, height = figure.get_size_inches()  # type: ignore[union-attr]
    columns = max(1, min(3, int(width * 14 / (max(map(len, labels)) + 7))))
    lines = -(-len(labels) // columns) + (title or "").count("\n")
    figure.set_size_inches(width, height + 0.17 * lines)  # type: ignore[union-attr]
    axes.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, below),
        ncols=columns,
        fontsize=8,
        title=title,
        title_fontsize="x-small",
        frameon=False,
        handlelength=2.6,
    )


def plain_axes(axes: Axes, title: str, xlabel: str, ylabel: str = "") -> None:
    """Title and labels, small numbers, a pale grid, and no frame above and to the right."""
    set_title(axes, title)
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def with_caption(figure: Figure, text: str) -> Figure:
    """The figure with a line of small print in its lower right corner."""
    figure.text(0.995, 0.002, printable(text).replace("$", "\\$"), ha="right", va="bottom", fontsize=6, color="0.35")
    return figure


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.png` (200 dots an inch) and `<stem>.pdf` (fonts embedded), each whole; returns their paths."""
    paths = []
    for kind in ("png", "pdf"):
        path = stem.with_name(f"{stem.name}.{kind}")
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=200, metadata=_METADATA[kind])
        paths.append(path)
    return paths


def tracker_style(k: int) -> tuple[str, str]:
    """Line style and colour of tracker number `k`, the same in every plot."""
    return _LINES[k % len(_LINES)], COLOURS[k % len(COLOURS)]


def caption(scores: Scores, plot_type: str) -> str:
    """What stands under a plot: the protocol, for 'success' with its rule, and what is left out."""
    text = f"protocol {scores.protocol.name}"
    if plot_type == "success":
        text += f": {scores.protocol.success_rule}"
    return text + ("; frames without a valid annotation left out" if scores.excludes_invalid else "")
