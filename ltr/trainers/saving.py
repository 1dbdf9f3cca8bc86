"""What a run writes besides its log: checkpoints, networks, and the figures that need a written network."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ltr.admin.checkpoint import save_network, save_training_state
from ltr.errors import unknown_name
from ltr.trainers.batch_norm import running_statistics
from ltr.trainers.checkpoints import checkpoint_file, delete_old
from ltr.trainers.processes import average_in_place, gather
from ltr.trainers.run_log import environment
from ltr.trainers.signals import StoppedBySignal, StopRequest
from ltr.trainers.training import Training


def tracked(training: Training) -> dict[str, float]:
    """Figures of the tracked sequences. A tracker that fails is reported, and training goes on."""
    assert training.track is not None
    network = training.folder / "tracking" / "network.safetensors"
    save_network(network, training.net, training.recipe.network)
    try:
        figures = training.track(network, network.parent)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"tracking for validation failed, training goes on: {error}", file=sys.stderr)
        return {}
    return {f"tracking/{name}": value for name, value in figures.items()}


def keep_best(training: Training, record: dict[str, Any]) -> None:
    """Write `best_network.safetensors` if this is the best validation so far."""
    recipe, state = training.recipe, training.state
    name = recipe.best_figure
    if name not in record:
        if not name.startswith("tracking/") and "loss" in record:
            raise unknown_name("validation figure (best_figure)", name, record)
        return
    sign = 1 if recipe.best_is == "highest" else -1
    if state.best is None or sign * record[name] > sign * state.best["value"]:
        state.best = {"figure": name, "value": record[name], "epoch": record["epoch"], "step": state.step}
        if training.processes.is_main_process:
            save_result(training, training.folder / "best_network.safetensors")


def save_result(training: Training, path: Path) -> None:
    """Write the network (its averaged weights, where there are such) with a card."""
    card = {"recipe": training.recipe.to_dict(), "environment": environment(), "best": training.state.best}
    with training.state.average.applied():
        save_network(path, training.net, training.recipe.network, card)


def save(training: Training) -> None:
    """A checkpoint of the state, all processes together; old ones are deleted.

    Raises:
        OSError: the disk is full, say; raised in all processes. Older checkpoints are untouched.
    """
    average_statistics(training)
    failure: list[str] = []
    if training.processes.is_main_process:
        state = training.state
        try:
            save_training_state(checkpoint_file(training.folder, state.step), state.state_dict())
            delete_old(training.folder, training.run.keep, state.best["step"] if state.best else None)
        except OSError as error:
            failure = [str(error)]
    for message in gather(training.processes, failure):
        raise OSError(message)


@torch.no_grad()
def average_statistics(training: Training) -> None:
    """Batch norm's running statistics, and the averages of them, become their means over the processes."""
    live, averages = running_statistics(training.net), training.state.average.average
    averaged = [averages[name] for name in live if name in averages]
    average_in_place(training.processes, [*live.values(), *averaged])


def stop_if_asked(training: Training, stop: StopRequest) -> None:
    """Raises `StoppedBySignal` in all processes if one of them has had a signal. The state is saved before."""
    number = max(gather(training.processes, [stop.number or 0]))
    if number:
        name, step = signal.Signals(number).name, training.state.step
        raise StoppedBySignal(number, f"stopped by {name} after step {step}, which is saved: the same command goes on")
