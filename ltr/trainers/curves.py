"""A picture of a run so far: its losses, the IoU that refinement reaches, and the AUC of tracked sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltr.admin.files import whole_file
from ltr.trainers.run_log import read_log

Record = dict[str, Any]

# Panels: title, and the figures in them as (kind of record, name, label).
PANELS = (
    ("loss", (("train", "loss", "training"), ("validation", "loss", "validation"))),
    ("box loss", (("train", "loss/box", "training"), ("validation", "loss/box", "validation"))),
    ("IoU on validation crops", (("validation", "iou/start", "starts"), ("validation", "iou/refined", "refined"))),
    ("AUC of tracked sequences", (("validation", "tracking/auc", "AUC"),)),
)


def draw_curves(folder: Path) -> Path:
    """Write `curves.png` into a run's folder, from its `log.jsonl`; panels without a figure are left out."""
    records = read_log(folder)
    panels = [
        (title, lines)
        for title, lines in PANELS
        if any(record["kind"] == kind and name in record for record in records for kind, name, _ in lines)
    ]
    figure = Figure(figsize=(4.5 * max(len(panels), 1), 3.2), layout="constrained")
    for number, (title, lines) in enumerate(panels, 1):
        _draw_panel(figure.add_subplot(1, len(panels), number), title, lines, records)
    path = folder / "curves.png"
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return path


def _draw_panel(axes: Axes, title: str, lines: tuple[tuple[str, str, str], ...], records: list[Record]) -> None:
    for kind, name, label in lines:
        points = [(record["step"], record[name]) for record in records if record["kind"] == kind and name in record]
        if not points:
            continue
        steps, values = zip(*points)
        if kind == "train":
            axes.plot(steps, values, color="0.75", linewidth=0.6)
            axes.plot(steps, _smoothed(values), label=label)
        else:
            axes.plot(steps, values, marker="o", markersize=3, label=label)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _smoothed(values: tuple[float, ...], decay: float = 0.9) -> list[float]:
    """Exponentially weighted means, unbiased at the start."""
    smooth, total, weight = [], 0.0, 0.0
    for value in values:
        total = decay * total + (1 - decay) * value
        weight = decay * weight + (1 - decay)
        smooth.append(total / weight)
    return smooth
