"""What the log says of a step and of an epoch."""

from __future__ import annotations

import time
from typing import Any

from torch import Tensor

from ltr.actors.base import StepOutput
from ltr.train_settings.recipe import Recipe
from ltr.trainers.processes import sum_of
from ltr.trainers.training import Training


def figures_of(
    training: Training, outputs: list[StepOutput], norms: dict[str, Tensor], norm: float
) -> dict[str, float]:
    """What the log says of a step: means over its micro-batches in all processes, gradient norms, learning rates."""
    sums = {name: sum(float(output.statistics[name]) for output in outputs) for name in outputs[0].statistics}
    totals = sum_of(training.processes, sums, training.device)
    record = {name: total / training.recipe.micro_batches for name, total in totals.items()}
    record["gradient_norm"] = norm
    record.update({f"gradient_norm/{name}": float(value) for name, value in norms.items()})
    record.update({f"rate/{group['name']}": group["lr"] for group in training.state.optimiser.param_groups})
    return record


class Clock:
    """Images a second and the share of the time that was spent waiting for data, since they were last read."""

    def __init__(self, recipe: Recipe) -> None:
        self.images = recipe.batch_size * (recipe.data.train_frames + recipe.data.test_frames)
        self.began = self.asked = time.perf_counter()
        self.waited, self.steps = 0.0, 0

    def data_came(self) -> None:
        """A step's data have arrived; they were asked for when the step before was done."""
        self.waited += time.perf_counter() - self.asked

    def step_done(self) -> None:
        """A step is done, and the next one's data are asked for."""
        self.steps += 1
        self.asked = time.perf_counter()

    def read(self) -> dict[str, float]:
        """The figures of the steps since the last reading."""
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
