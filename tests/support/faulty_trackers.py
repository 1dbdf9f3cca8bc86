"""A tracker that fails as told, which worker processes can import, and how to have `run_dataset` run it."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.evaluation import execution, running
from pytracking.tracker.base import TrackResult
from pytracking.tracker.static import StaticTracker


@dataclass(frozen=True)
class FaultyParameters:
    """What goes wrong.

    Attributes:
        fault: 'kill', 'kill once', 'raise', 'raise once', 'nan', 'exit', 'spoil', 'spoil slot 1' (in that worker
            process only), 'create', 'weights', 'random', or ''.
        folder: where workers leave notes: a file for each tracker that was built, and for what happened once.
        x: only where the first box starts here; everywhere when left out.
        seconds: that a frame takes.
    """

    fault: str = ""
    folder: str = ""
    x: float | None = None
    seconds: float = 0.0


class FaultyTracker(StaticTracker):
    """Answers the first box until the third frame."""

    def __init__(self, params: FaultyParameters) -> None:
        super().__init__()
        self.params = params
        self.frames = 0
        self.concerned = False

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        self.frames = 1
        self.concerned = self.params.x is None or box[0] == self.params.x
        return super().initialize(image, box)

    def track(self, image: np.ndarray) -> TrackResult:
        self.frames += 1
        time.sleep(self.params.seconds)
        result = super().track(image)
        if self.params.fault == "random":
            x = random.random() + np.random.rand() + result.box[0]
            return TrackResult((x, *result.box[1:]), 1.0, "normal", 0.0)
        if self.frames == 3 and self.concerned:
            return self.fail(result)
        return result

    def fail(self, result: TrackResult) -> TrackResult:
        fault = self.params.fault
        if fault.endswith("once") and not note(self.params.folder, "once"):
            return result
        if fault.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.startswith("raise"):
            raise ZeroDivisionError("deliberate")
        if fault == "exit":
            os._exit(7)
        if fault == "spoil" or (fault == "spoil slot 1" and sys.argv[-2:-1] == ["1"]):
            # As after a CUDA error, which this machine may have no means to bring about.
            execution._cuda_in_use = lambda: True
            raise RuntimeError("CUDA error, in pretence")
        if fault == "nan":
            return TrackResult((1.0, 2.0, float("nan"), 3.0), 1.0, "normal", 0.0)
        return result


def note(folder: str, name: str) -> bool:
    """Leave a note; False where it is there already."""
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def create(name: str, params: FaultyParameters) -> FaultyTracker:
    """Build the tracker, or fail to."""
    if params.folder:
        note(params.folder, f"built-{time.time_ns()}-{os.getpid()}")
    if params.fault == "create":
        raise UserError("weights.safetensors is damaged")
    tracker = FaultyTracker(params)
    if params.fault == "weights":
        tracker.weights_sha256 = "b" * 64  # type: ignore[attr-defined]
    return tracker


def use(monkeypatch: pytest.MonkeyPatch, params: FaultyParameters) -> None:
    """Have `run_dataset` run this tracker in place of any other, in workers too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(running, "load_parameters", lambda *names, **overrides: params)
    monkeypatch.setattr(running, "create_tracker", create)
