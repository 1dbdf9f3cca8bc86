"""Plots that compare trackers: radar of attributes, accuracy over speed, and two trackers sequence by sequence."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.projections.polar import PolarAxes

from ltr.errors import UserError, unknown_name
from pytracking.analysis.attributes import attribute_rows
from pytracking.analysis.extract import Scores
from pytracking.analysis.plots import caption, tracker_style
from pytracking.analysis.tables import ranking

_NAMED_POINTS = 5


def draw_attribute_radar(scores: Scores) -> Figure:
    """A spoke for each attribute (with the number of its sequences), a line for each tracker, the best first.

    Args:
        scores: from `extract_scores`.

    Raises:
        UserError: fewer than three attributes are known.
    """
    rows = attribute_rows(scores)
    if len(rows) < 3:
        raise UserError(f"a radar needs three attributes; the sequences of {scores.dataset} have {len(rows)}")
    angles = np.linspace(0, 2 * np.pi, len(rows), endpoint=False)
    closed = np.append(angles, angles[0])
    figures = np.array([scores.mean(scores.headline, mask) for mask in rows.values()])
    overall = scores.mean(scores.headline)
    figure = _figure((5.2, 4.8))
    axes = cast(PolarAxes, figure.add_subplot(projection="polar"))
    for k in ranking(scores):
        style, colour = tracker_style(k)
        label = f"{scores.trackers[k]} [{overall[k]:.1f}]"
        axes.plot(closed, np.append(figures[:, k], figures[0, k]), style, color=colour, linewidth=1.6, label=label)
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, [f"{name} ({int(mask.sum())})" for name, mask in rows.items()], fontsize=8)
    # The whole range would leave most of the disc empty; the spokes' scale is printed, so that nothing is hidden.
    axes.set_ylim(max(0.0, 10 * np.floor(figures.min() / 10) - 10), 10 * np.ceil(figures.max() / 10))
    axes.tick_params(axis="x", pad=9)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(color="0.85", linewidth=0.8)
    axes.set_title(f"{scores.protocol.headline.upper()} by attribute on {scores.dataset}", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), fontsize=8, ncols=3, frameon=False)
    return _captioned(figure, scores)


def draw_speed_accuracy(scores: Scores) -> Figure:
    """A point for each tracker whose times are known: frames a second (logarithmic) and headline figure in percent.

    Raises:
        UserError: no tracker's times are known.
    """
    fps, figures = scores.fps, scores.mean(scores.headline)
    known = [k for k in ranking(scores) if np.isfinite(fps[k])]
    if not known:
        raise UserError("no result has times beside it, so that no tracker's speed is known")
    figure = _figure((4.8, 3.9))
    axes = figure.add_subplot()
    for k in known:
        axes.plot(fps[k], figures[k], "o", color=tracker_style(k)[1], markersize=7)
        axes.annotate(scores.trackers[k], (fps[k], figures[k]), (6, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.margins(0.2)
    axes.set_xlabel("Frames a second, reading images excluded", fontsize=9)
    axes.set_ylabel(f"{scores.protocol.headline.upper()} [%]", fontsize=9)
    left_out = len(scores.trackers) - len(known)
    axes.set_title(
        f"Speed and accuracy on {scores.dataset}" + (f" ({left_out} without times left out)" if left_out else ""),
        fontsize=10,
    )
    _plain(axes)
    return _captioned(figure, scores)


def draw_scatter(scores: Scores, first: str, second: str) -> Figure:
    """A point for each sequence, in the better tracker's colour: the first's figure over the second's.

    The sequences on which they are farthest apart are named.

    Args:
        scores: from `extract_scores`.
        first, second: labels of two of its trackers.

    Raises:
        UserError: no tracker of that label.
    """
    for name in (first, second):
        if name not in scores.trackers:
            raise unknown_name("tracker", name, scores.trackers)
    columns = [scores.trackers.index(name) for name in (first, second)]
    y, x = (scores.headline[:, column] for column in columns)
    figure = _figure((4.4, 4.3))
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=0.8)
    axes.scatter(x, y, s=14, color=[tracker_style(columns[0 if above else 1])[1] for above in y > x], linewidths=0)
    for s in np.argsort(-np.abs(y - x), kind="stable")[:_NAMED_POINTS]:
        axes.annotate(scores.sequences[s], (x[s], y[s]), (4, 3), textcoords="offset points", fontsize=7)
    figure_name = scores.protocol.headline.upper()
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{second}: {figure_name} [%]", fontsize=9)
    axes.set_ylabel(f"{first}: {figure_name} [%]", fontsize=9)
    axes.set_title(f"{first} better on {int((y > x).sum())} of {len(x)} sequences of {scores.dataset}", fontsize=10)
    _plain(axes)
    return _captioned(figure, scores)


def _figure(size: tuple[float, float]) -> Figure:
    return Figure(figsize=size, layout=ConstrainedLayoutEngine(rect=(0, 0.03, 1, 0.97)))


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _captioned(figure: Figure, scores: Scores) -> Figure:
    figure.text(0.995, 0.002, caption(scores, "success"), ha="right", va="bottom", fontsize=6, color="0.35")
    return figure
