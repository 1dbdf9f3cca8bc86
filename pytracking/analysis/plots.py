"""Success and precision plots, as PNG to look at and PDF for a paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ltr.admin.files import whole_file
from ltr.errors import unknown_name
from pytracking.analysis.extract import Scores
from pytracking.visualise import COLOURS

_LINES = ("-", "--", "-.", ":")
_FONT = {"size": 9}
# Without dates, so that the same results give the same files.
_METADATA: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None, "ModDate": None}}

PLOT_TYPES = {
    "success": "Success",
    "prec": "Precision",
    "norm_prec": "Normalised precision",
}


def draw_curves(scores: Scores, plot_type: str) -> Figure:
    """A plot of every tracker's curve, averaged over the sequences, the best first in the legend.

    Args:
        scores: from `extract_scores`.
        plot_type: 'success', 'prec' or 'norm_prec'.

    Raises:
        UserError: unknown plot type.
    """
    if plot_type not in PLOT_TYPES:
        raise unknown_name("plot type", plot_type, PLOT_TYPES)
    protocol = scores.protocol
    thresholds, curves, figures, xlabel, ylabel = {
        "success": (
            protocol.overlap_thresholds,
            scores.success,
            scores.headline,
            "Overlap threshold",
            "Frames with a higher overlap [%]",
        ),
        "prec": (
            protocol.centre_thresholds,
            scores.precision,
            scores.precision_figure,
            "Centre error threshold [px]",
            "Frames with a smaller error [%]",
        ),
        "norm_prec": (
            protocol.norm_thresholds,
            scores.norm_precision,
            scores.norm_precision_figure,
            "Centre error threshold [target sizes]",
            "Frames with a smaller error [%]",
        ),
    }[plot_type]
    mean_curves, mean_figures = 100 * scores.mean(curves), scores.mean(figures)
    figure = Figure(figsize=(4.8, 3.9), layout=ConstrainedLayoutEngine(rect=(0, 0.03, 1, 0.97)))
    axes = figure.add_subplot()
    for k in map(int, np.argsort(-mean_figures, kind="stable")):
        label = f"{scores.trackers[k]} [{mean_figures[k]:.1f}]"
        # Colour and dashes belong to the tracker, not to its rank, so that they are the same in every plot of a report.
        style, colour = tracker_style(k)
        axes.plot(thresholds, mean_curves[k], style, color=colour, linewidth=1.8, label=label)
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(0, 100)
    axes.set_xlabel(xlabel, fontdict=_FONT)
    axes.set_ylabel(ylabel, fontdict=_FONT)
    count = f"{len(scores.sequences)} sequence" + ("" if len(scores.sequences) == 1 else "s")
    axes.set_title(f"{PLOT_TYPES[plot_type]} on {scores.dataset}, {count}", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    bracket = {"success": protocol.headline.upper(), "prec": "at 20 px", "norm_prec": "at 0.20"}[plot_type]
    axes.legend(
        loc="lower left" if plot_type == "success" else "lower right",
        fontsize=8,
        title=f"tracker [{bracket}]",
        title_fontsize="x-small",
        framealpha=0.9,
        handlelength=2.6,
    )
    figure.text(0.995, 0.002, caption(scores, plot_type), ha="right", va="bottom", fontsize=6, color="0.35")
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
