"""A plot of differences with their confidence intervals, one line each."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ltr.errors import UserError
from pytracking.analysis.bootstrap import Difference
from pytracking.visualise import COLOURS


def draw_intervals(differences: Mapping[str, Difference], title: str, label: str) -> Figure:
    """A point and a bar for each difference, the first at the top; grey where the interval holds zero or is none.

    Args:
        differences: name -> from `paired_difference`.
        title: of the plot.
        label: of the axis, such as 'AUC against KCF [points]'.

    Raises:
        UserError: nothing to draw.
    """
    if not differences:
        raise UserError("no differences to draw: name at least two trackers")
    count = len(differences)
    figure = Figure(figsize=(5.2, 1.3 + 0.32 * count), layout=ConstrainedLayoutEngine())
    axes = figure.add_subplot()
    axes.axvline(0, color="0.6", linewidth=0.8)
    for row, difference in enumerate(differences.values()):
        # A single sequence has no interval, and tells nothing of others.
        told_apart = difference.excludes_zero and difference.low < difference.high
        colour = COLOURS[1] if told_apart else "0.5"
        axes.plot([difference.low, difference.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot(difference.mean, row, "o", color=colour, markersize=6)
    axes.set_yticks(range(count), list(differences), fontsize=8)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlabel(label, fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure
