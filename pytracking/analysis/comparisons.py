"""Plots that compare trackers: radar of attributes, accuracy over speed, sequence by sequence, and intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from ltr.errors import UserError
from pytracking.analysis.bootstrap import Difference
from pytracking.analysis.plots import (
    add_legend,
    caption,
    new_figure,
    plain_axes,
    plain_text,
    save_figure,
    set_title,
    tracker_style,
    with_caption,
)
from pytracking.analysis.scores import Scores
from pytracking.visualise import COLOURS

_NAMED_POINTS = 5


def write_comparisons(scores: Scores, folder: Path, against: str | None = None) -> list[Path]:
    """Draw the comparisons that the results allow: without times no speed, without attributes no radar.

    Args:
        scores: from `extract_scores`.
        folder: where to.
        against: label or name of the tracker that each other one is drawn over, sequence by sequence.

    Returns:
        The files written.

    Raises:
        UserError: no tracker of that label.
    """
    figures = {}
    base = None if against is None else scores.column(against)
    if np.isfinite(scores.fps).any():
        figures["speed_accuracy"] = draw_speed_accuracy(scores)
    if len({name for attributes in scores.attributes for name in attributes or ()}) >= 3:
        figures["attribute_radar"] = draw_attribute_radar(scores)
    for number, tracker in enumerate(scores.trackers):
        if base is not None and number != base:
            figures[f"scatter_{number}"] = draw_scatter(scores, tracker, scores.trackers[base])
    return [path for name, figure in figures.items() for path in save_figure(figure, folder / name)]


def draw_attribute_radar(scores: Scores) -> Figure:
    """A spoke for each attribute (with the number of its sequences), a line for each tracker, the best first.

    Args:
        scores: from `extract_scores`.

    Raises:
        UserError: fewer than three attributes are known.
    """
    rows = scores.attribute_rows()
    if len(rows) < 3:
        raise UserError(f"a radar needs three attributes; the sequences of {scores.dataset} have {len(rows)}")
    angles = np.linspace(0, 2 * np.pi, len(rows), endpoint=False)
    closed = np.append(angles, angles[0])
    values = np.array([scores.mean(scores.headline, mask) for mask in rows.values()])
    overall = scores.mean(scores.headline)
    figure, plain = new_figure((5.2, 4.8), projection="polar")
    axes = cast(PolarAxes, plain)
    for k in scores.ranking:
        style, colour = tracker_style(k)
        label = f"{plain_text(scores.trackers[k])} [{overall[k]:.1f}]"
        axes.plot(closed, np.append(values[:, k], values[0, k]), style, color=colour, linewidth=1.6, label=label)
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, [plain_text(f"{name} ({int(mask.sum())})") for name, mask in rows.items()], fontsize=8)
    # The whole range would leave most of the disc empty; the spokes' scale is printed, so that nothing is hidden.
    axes.set_ylim(max(0.0, 10 * np.floor(np.nanmin(values) / 10) - 10), 10 * np.ceil(np.nanmax(values) / 10))
    axes.tick_params(axis="x", pad=9)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(color="0.85", linewidth=0.8)
    set_title(axes, f"{scores.headline_name} by attribute on {scores.dataset}")
    add_legend(axes, textwrap.fill(scores.attribute_legend(), 80), below=-0.09)
    return with_caption(figure, caption(scores, "success"))


def draw_speed_accuracy(scores: Scores) -> Figure:
    """A point for each tracker whose times are known: frames a second (logarithmic) and headline metric in percent.

    Raises:
        UserError: no tracker's times are known.
    """
    fps, metric = scores.fps, scores.mean(scores.headline)
    known = [k for k in scores.ranking if np.isfinite(fps[k])]
    if not known:
        raise UserError("no result has times beside it, so that no tracker's speed is known")
    figure, axes = new_figure((4.8, 3.9))
    axes.set_xscale("log")
    for k in known:
        axes.plot(fps[k], metric[k], "o", color=tracker_style(k)[1], markersize=7)
    # Within one decade the powers of ten alone would be one number, or none; over many, more would touch.
    decades = np.log10(np.ptp(fps[known]) / fps[known].min() + 1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 1.5 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    left_out = len(scores.trackers) - len(known)
    note = f" ({left_out} without times left out)" if left_out else ""
    title = f"Speed and accuracy on {scores.dataset}{note}"
    plain_axes(axes, title, "Frames a second, reading images excluded", f"{scores.headline_name} [%]")
    axes.margins(0.3)
    _name_points(axes, {scores.trackers[k]: (fps[k], metric[k]) for k in known})
    return with_caption(figure, caption(scores, "success"))


def draw_scatter(scores: Scores, first: str, second: str) -> Figure:
    """A point for each sequence, in the better tracker's colour: the first's metric over the second's.

    The sequences on which they are farthest apart are named.

    Args:
        scores: from `extract_scores`.
        first, second: labels of two of its trackers.

    Raises:
        UserError: no tracker of that label.
    """
    columns = [scores.column(name) for name in (first, second)]
    y, x = (scores.headline[:, column] for column in columns)
    figure, axes = new_figure((4.4, 4.3))
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=0.8)
    axes.scatter(x, y, s=14, color=[tracker_style(columns[0 if above else 1])[1] for above in y > x], linewidths=0)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    xlabel, ylabel = (f"{plain_text(name)}: {scores.headline_name} [%]" for name in (second, first))
    title = f"{first} better on {int((y > x).sum())} of {len(x)} sequences of {scores.dataset}"
    plain_axes(axes, title, xlabel, ylabel)
    farthest = np.argsort(-np.abs(y - x), kind="stable")[:_NAMED_POINTS]
    _name_points(axes, {scores.sequences[s]: (x[s], y[s]) for s in farthest})
    return with_caption(figure, caption(scores, "success"))


def draw_intervals(differences: Mapping[str, Difference], title: str, label: str) -> Figure:
    """A point and a bar for each difference, the first at the top.

    An interval that holds zero is grey; that of too few sequences is dashed and its point hollow.

    Args:
        differences: name -> from `paired_difference`.
        title: title of the plot.
        label: label of the axis, such as 'AUC against KCF [points]'.

    Raises:
        UserError: nothing to draw.
    """
    if not differences:
        raise UserError("no differences to draw: name at least two trackers")
    figure, axes = new_figure((5.2, 1.3 + 0.32 * len(differences)))
    axes.axvline(0, color="0.6", linewidth=0.8)
    for row, found in enumerate(differences.values()):
        colour = COLOURS[1] if found.verdict == "yes" else "0.5"
        line, filling = (":", "white") if found.too_few else ("-", colour)
        axes.plot([found.low, found.high], [row, row], line, color=colour, linewidth=2.2)
        axes.plot(found.mean, row, "o", color=colour, markerfacecolor=filling, markersize=6)
    axes.set_yticks(range(len(differences)), [plain_text(name) for name in differences], fontsize=8)
    axes.set_ylim(len(differences) - 0.5, -0.5)
    plain_axes(axes, title, plain_text(label))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    if any(found.too_few for found in differences.values()):
        with_caption(figure, "dotted: too few sequences for an interval to decide anything")
    return figure


def _name_points(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write a name beside each point (x, y), where it touches neither another name nor the frame."""
    texts = [axes.text(x, y, plain_text(name), fontsize=7.5) for name, (x, y) in points.items()]
    figure = axes.get_figure(root=True)
    figure.draw_without_rendering()  # type: ignore[union-attr]
    x, y = zip(*points.values())
    arrow = {"arrowstyle": "-", "color": "0.6", "lw": 0.6}
    # A limit of steps, not of time, so that the same results give the same plot.
    adjust_text(texts, list(x), list(y), ax=axes, expand=(1.15, 1.5), arrowprops=arrow, iter_lim=300)
