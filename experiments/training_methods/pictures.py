"""Pictures of the study's results."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common import spread
from experiments.training_methods.results import METRICS, metrics_of
from pytracking.visualise import COLOURS


def comparison_figure(study: dict[str, Any]) -> Figure:
    """A panel a figure: every seed a dot, mean and standard deviation beside; and IoU over the cost of a step."""
    methods = study["methods"]
    shown = [
        name for name in ("iou", "nll", "auc") if any(name in metrics_of(row["heads"]) for row in methods.values())
    ]
    with_cost = study["cost"] is not None
    figure = Figure(figsize=(4.2 * (len(shown) + with_cost), 3.6))
    axes = figure.subplots(1, len(shown) + with_cost, squeeze=False)
    titles = {"iou": "IoU of refined test boxes (%)", "nll": "NLL (nats; less is better)", "auc": "AUC (%)"}
    for axis, name in zip(axes[0], shown):
        _seed_panel(axis, methods, name)
        axis.set_xlabel(titles[name])
    if with_cost:
        _cost_panel(axes[0, -1], study)
    figure.tight_layout()
    return figure


def steps_figure(study: dict[str, Any]) -> Figure:
    """IoU of refined validation boxes over the step of the ascent: each method's energy has its own scale."""
    figure = Figure(figsize=(7, 4))
    axis = figure.subplots()
    for number, row in enumerate(study["methods"].values()):
        points = sorted((centre, value) for centre, _, value in row["steps"]["coarse"])
        axis.semilogx(
            [centre for centre, _ in points],
            [100 * value for _, value in points],
            color=COLOURS[number % len(COLOURS)],
            linestyle="-" if number < len(COLOURS) else "--",
            marker="o",
            markersize=3,
            label=row["label"],
        )
    axis.set_xlabel("step of the centre (that of the size is four times as long)")
    axis.set_ylabel("IoU of refined validation boxes (%)")
    axis.legend(fontsize=8, ncols=2)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def ablation_figure(name: str, result: dict[str, Any]) -> Figure:
    """IoU and NLL over the setting that was varied; a line a series, with standard deviations over seeds."""
    figure = Figure(figsize=(9, 3.4))
    axes = figure.subplots(1, 2)
    arms = result["arms"]
    series = list(dict.fromkeys(arm["series"] for arm in arms.values()))
    for axis, key in zip(axes, ("iou", "nll")):
        for number, line in enumerate(series):
            rows = [arm for arm in arms.values() if arm["series"] == line]
            spreads = [spread(metrics_of(arm["heads"])[key]) for arm in rows]
            axis.errorbar(
                [_place(name, arm["value"]) for arm in rows],
                [mean for mean, _ in spreads],
                [0.0 if np.isnan(deviation) else deviation for _, deviation in spreads],
                color=COLOURS[number],
                marker="o",
                markersize=4,
                capsize=3,
                label=line,
            )
        axis.set_ylabel({"iou": "IoU of refined test boxes (%)", "nll": "NLL (nats)"}[key])
        axis.set_xlabel(_AXES[name])
        axis.grid(alpha=0.3)
        if name in ("beta", "samples"):
            axis.set_xscale("log")
            axis.set_xticks([arm["value"] for arm in arms.values()], [f"{arm['value']:g}" for arm in arms.values()])
            axis.minorticks_off()
        if name == "sigma":
            axis.set_xticks(range(len(arms)), list(arms), rotation=20, fontsize=8)
    if len(series) > 1:
        axes[0].legend(fontsize=8)
    figure.tight_layout()
    return figure


_AXES = {
    "beta": "beta",
    "samples": "M",
    "sigma": "sigmas of the noise",
    "label-noise": "error of the annotations (% of the box)",
    "few-annotations": "error of the annotations (% of the box)",
}


def _place(name: str, value: float) -> float:
    return 100 * value if name in ("label-noise", "few-annotations") else value


def _seed_panel(axis: Axes, methods: dict[str, Any], name: str) -> None:
    labels = []
    for place, row in enumerate(reversed(methods.values())):
        labels.append(row["label"])
        values = metrics_of(row["heads"]).get(name)
        if values is None:
            continue
        mean, deviation = spread(values)
        axis.plot(values, [place] * len(values), "o", color=COLOURS[1], markersize=4, alpha=0.5)
        axis.errorbar(mean, place, xerr=0 if np.isnan(deviation) else deviation, fmt="|", color=COLOURS[0], capsize=4)
    axis.set_yticks(range(len(labels)), labels)
    axis.grid(alpha=0.3, axis="x")


def _cost_panel(axis: Axes, study: dict[str, Any]) -> None:
    for number, (name, row) in enumerate(study["methods"].items()):
        measured = study["cost"]["methods"].get(name)
        if measured is not None:
            mean, _ = spread(metrics_of(row["heads"])["iou"])
            marker = "o" if number < len(COLOURS) else "s"
            axis.plot(measured["relative"], mean, marker, color=COLOURS[number % len(COLOURS)], label=row["label"])
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axis.minorticks_off()
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_xlabel("time of a step over IoU regression's")
    axis.set_ylabel(f"{METRICS['iou']} (%)")
    axis.margins(0.2)
    axis.grid(alpha=0.3)
