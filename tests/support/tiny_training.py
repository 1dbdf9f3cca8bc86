"""A training run that takes seconds: videos of a bright square, and a recipe for a tiny network.

Run as a script, it trains that recipe in a process of its own, or under torchrun: see `main`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ltr.actors.tracking import StepOutput
from ltr.admin.model_constructor import NetworkConstructor
from ltr.dataset.base import SequenceInfo
from ltr.errors import ImageError
from ltr.run_training import exit_status, load_recipe
from ltr.train_settings import sources
from ltr.train_settings.recipe import (
    BoxSettings,
    DataSettings,
    DataSource,
    OptimiserSettings,
    Recipe,
    Refinement,
    TrackingValidation,
    with_changes,
)
from ltr.trainers import loop
from ltr.trainers.run import RunSettings, Track, Training


class BrightSquares:
    """Videos of a bright square that moves over noise; the frames of `broken` cannot be read."""

    name = "squares"
    is_video = True

    def __init__(self, broken: Sequence[int] = ()) -> None:
        self.broken = broken

    def __len__(self):
        return 6

    def sequence_name(self, index):
        return f"square{index}"

    def sequence_info(self, index):
        boxes = np.array([[20 + 2 * t + index, 25 + t, 24, 20] for t in range(12)], dtype=np.float32)
        everywhere = np.ones(12, dtype=bool)
        return SequenceInfo(boxes=boxes, valid=everywhere, visible=everywhere)

    def frames(self, index, frame_ids):
        if index in self.broken:
            raise ImageError(f"/data/square{index}/0001.jpg is cut short")
        images = []
        for t in frame_ids:
            image = np.random.default_rng([index, t]).integers(0, 80, (96, 120, 3), dtype=np.uint8)
            x, y, w, h = self.sequence_info(index).boxes[t].astype(int)
            image[y : y + h, x : x + w] += 150
            images.append(image)
        return images


def squares_recipe() -> Recipe:
    """A recipe on `BrightSquares`: 3 epochs of 3 steps of 4 sequences."""
    base: Recipe = load_recipe(["dimp_nceplus_lite"])
    squares = (DataSource("squares", "train"),)
    return replace(
        base,
        name="tiny",
        network=NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 16, "box_dim": 16}),
        data=DataSettings(
            squares, squares, samples_per_epoch=12, validation_samples=4, max_gap=5, train_frames=1, test_frames=1
        ),
        crop=replace(base.crop, output_size=96),
        box=BoxSettings("nceplus", {"num_samples": 16}, weight=1.0),
        optimiser=OptimiserSettings({"classifier": 1e-3, "bb_regressor": 1e-3}, schedule="cosine", warmup_steps=2),
        epochs=3,
        batch_size=4,
        precision="fp32",
        validation_interval=1,
        refinement=Refinement(steps=2, starts=3, top_k=2),
    )


def tiny_recipe(monkeypatch, broken: Sequence[int] = ()) -> Recipe:
    """`squares_recipe`, with its data registered for the test."""
    monkeypatch.setitem(sources.SOURCES, "squares", lambda source, seed: [(BrightSquares(broken), 1.0)])
    return squares_recipe()


def launch(workspace: Path, *options: str, processes: int = 1) -> subprocess.Popen[str]:
    """Start this script in a process of its own, or in several by torchrun; see `main` for the options."""
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    command = [sys.executable, *run, __file__, "--workspace", str(workspace), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def _signal_at(step: int, number: int, folder: Path) -> None:
    """Send this process a signal as soon as its log has `step` lines of steps."""
    log = folder / "log.jsonl"
    while not log.exists() or log.read_text().count('"train"') < step:
        threading.Event().wait(0.002)
    os.kill(os.getpid(), number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train `squares_recipe`; returns the exit status of the command line for it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpoint-interval", type=int, default=0)
    parser.add_argument("--broken", type=int, nargs="*", default=[], help="sequences that cannot be read")
    parser.add_argument("--kill-at", type=int, help="step whose log line is answered by SIGKILL")
    parser.add_argument("--term-at", type=int, help="step whose log line is answered by SIGTERM, in process 0")
    parser.add_argument("--nan-at", type=int, help="step whose loss in the last process is not a number")
    parser.add_argument("--track", action="store_true", help="answer for tracking with an AUC of 50, after two seconds")
    options = parser.parse_args(arguments)
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]  # It takes seconds to import.
    sources.SOURCES["squares"] = lambda source, seed: [(BrightSquares(options.broken), 1.0)]
    recipe: Recipe = with_changes(squares_recipe(), options.set)
    folder = options.workspace / recipe.name
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    for step, number in ((options.kill_at, signal.SIGKILL), (options.term_at, signal.SIGTERM)):
        if step is not None and rank == 0:
            threading.Thread(target=_signal_at, args=(step, number, folder), daemon=True).start()
    if options.nan_at is not None and rank == world - 1:
        poison(options.nan_at)
    run = RunSettings(
        workspace=options.workspace,
        device=options.device,
        num_workers=options.workers,
        log_interval=1,
        checkpoint_interval=options.checkpoint_interval,
    )
    return exit_status(lambda: loop.train(recipe, run, _prepare if options.track else None))


def _prepare(settings: TrackingValidation) -> Track:
    def track(network: Path, folder: Path) -> dict[str, float]:
        assert network.is_file()
        threading.Event().wait(2)
        return {"auc": 50.0}

    return track


def poison(step: int) -> None:
    """From now on, the losses of a step (counted from 1) are not a number."""

    def poisoned(training, output):
        return output._replace(loss=output.loss * float("nan")) if training.step + 1 == step else output

    at_every_loss(poisoned)


def at_every_loss(change: Callable[[Training, StepOutput], StepOutput]) -> None:
    """From now on, what a training's actor answers in a step goes through `change`."""
    original = loop.set_up

    def set_up(*arguments):
        training = original(*arguments)
        training.actor.register_forward_hook(
            lambda actor, _, output: change(training, output) if actor.training else output
        )
        return training

    loop.set_up = set_up


if __name__ == "__main__":
    sys.exit(main())
