"""The log of a run: what it says of a step and of an epoch, `log.jsonl`, TensorBoard, and a picture of the curves."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from matplotlib.figure import Figure

from ltr.admin.files import whole_file, write_text
from ltr.errors import UserError
from ltr.train_settings.recipe import Recipe

LOG = "log.jsonl"
Record = dict[str, Any]
T = TypeVar("T")

# Panels: title, and the metrics in them as (kind of record, name, label).
PANELS = (
    ("loss", (("train", "loss", "training"), ("validation", "loss", "validation"))),
    ("box loss", (("train", "loss/box", "training"), ("validation", "loss/box", "validation"))),
    ("IoU on validation crops", (("validation", "iou/start", "starts"), ("validation", "iou/refined", "refined"))),
    ("AUC of tracked sequences", (("validation", "tracking/auc", "AUC"),)),
)


def read_log(folder: Path) -> list[Record]:
    """The records of a run's `log.jsonl`; a last line that was cut short is left out."""
    path = folder / LOG
    if not path.exists():
        return []
    records = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number}: not JSON ({error})") from error
    return records


class RunLog:
    """Writes into a run's folder. Every record says after how many `step`s it was made.

    Args:
        folder: folder of the run.
        step: step at which the run goes on; records of later steps, which will be made again, are dropped.

    Raises:
        ValueError: a line of an earlier log is not JSON.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder = folder
        kept = [record for record in read_log(folder) if record["step"] <= step] if step else []
        write_text(folder / LOG, "".join(json.dumps(record) + "\n" for record in kept))
        self._lines = open(folder / LOG, "a", encoding="utf-8")  # noqa: SIM115
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("tensorboard is not installed (pip install 'ebm-tracking[train]'): only log.jsonl is written")
            self._board: Any = None
        else:
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, kind: str, step: int, record: Record) -> None:
        """Append a record: one JSON line, one TensorBoard scalar a number."""
        self._lines.write(json.dumps({"kind": kind, "step": step, **record}) + "\n")
        self._lines.flush()
        if self._board is not None:
            for name, value in record.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._lines.close()
        if self._board is not None:
            self._board.close()


def environment() -> dict[str, str]:
    """Versions and commit that a run was made with."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"torch": torch.__version__, "python": platform.python_version(), "commit": commit}


class Clock:
    """Images a second and the share of the time that was spent waiting for data, since they were last read."""

    def __init__(self, recipe: Recipe) -> None:
        self.images = recipe.batch_size * (recipe.data.train_frames + recipe.data.test_frames)
        self.began = time.perf_counter()
        self.waited, self.steps = 0.0, 0

    def timed(self, data: Iterator[T]) -> Iterator[T]:
        """The items of an iterator, a step's data each, with the waiting for them measured."""
        asked = time.perf_counter()
        for item in data:
            self.waited += time.perf_counter() - asked
            self.steps += 1
            yield item
            asked = time.perf_counter()

    def read(self) -> dict[str, float]:
        """The metrics of the steps since the last reading."""
        seconds = time.perf_counter() - self.began
        found = {"images_per_second": self.images * self.steps / seconds, "waiting_share": self.waited / seconds}
        self.began, self.waited, self.steps = time.perf_counter(), 0.0, 0
        return found


def summary(record: dict[str, Any], epochs: int) -> str:
    """One line for an epoch's record."""
    parts = [f"epoch {record['epoch']}/{epochs} in {record['seconds']:.0f} s"]
    for name, label in (
        ("loss", "validation loss"),
        ("loss/box", "box"),
        ("classifier/peak_hits", "peak hits"),
        ("tracking/auc", "AUC"),
    ):
        if name in record:
            parts.append(f"{label} {record[name]:.3f}")
    if "iou/start" in record:
        parts.append(f"IoU {record['iou/start']:.3f} -> {record['iou/refined']:.3f}")
    return ", ".join(parts)


def draw_curves(folder: Path) -> Path:
    """Write `curves.png` into a run's folder, from its `log.jsonl`; panels without a metric are left out."""
    records = read_log(folder)
    panels: dict[str, list[tuple[str, str, list[tuple[int, float]]]]] = {}
    for title, lines in PANELS:
        for kind, name, label in lines:
            points = [(record["step"], record[name]) for record in records if record["kind"] == kind and name in record]
            if points:
                panels.setdefault(title, []).append((kind, label, points))
    figure = Figure(figsize=(4.5 * max(len(panels), 1), 3.2), layout="constrained")
    for number, (title, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), number)
        for kind, label, points in curves:
            steps, values = zip(*points)
            if kind == "train":
                axes.plot(steps, values, color="0.75", linewidth=0.6)
                axes.plot(steps, pd.Series(values).ewm(alpha=0.1).mean(), label=label)
            else:
                axes.plot(steps, values, marker="o", markersize=3, label=label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    path = folder / "curves.png"
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return path
