"""What a run leaves on disk besides its log: checkpoints to resume from, networks, and a step that went wrong."""

from __future__ import annotations

import itertools
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ltr.actors.tracking import Batch, StepOutput
from ltr.admin.checkpoint import load_training_state, save_network, save_training_state
from ltr.errors import CheckpointError, MissingFileError, UserError, unknown_name
from ltr.trainers.batch_norm import running_statistics
from ltr.trainers.log import environment
from ltr.trainers.processes import StoppedBySignal, StopRequest, average_in_place, from_first, gather
from ltr.trainers.run import Training

_PATTERN = "checkpoint_" + "[0-9]" * 8 + ".pt"


class NonFiniteLossError(UserError, RuntimeError):
    """A loss or gradient that is infinite or not a number; the message names what was in the batch."""

    status = 3


def checkpoint_file(folder: Path, step: int) -> Path:
    """Where the state after `step` optimiser steps is kept."""
    return folder / f"checkpoint_{step:08d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The training checkpoints of a run, oldest first."""
    return sorted(folder.glob(_PATTERN))


def load_newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and its content; None where there is none.

    A damaged one is named on stderr and set aside as `*.damaged`. Going on from the one before gives the same run:
    the steps between are repeated exactly.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            state = load_training_state(path)
        except CheckpointError as error:
            damaged.append(path)
            print(f"{error}\nThe checkpoint before it is taken, and the steps between are repeated", file=sys.stderr)
            continue
        for bad in damaged:
            bad.rename(bad.with_suffix(".pt.damaged"))
        return path, state
    if damaged:
        raise CheckpointError(
            f"none of the {len(damaged)} checkpoints in {folder} can be read: --fresh starts from the beginning "
            "and keeps them"
        )
    return None


def delete_old(folder: Path, keep: int, best_step: int | None) -> None:
    """Delete all checkpoints but the newest `keep` and that of the best step."""
    spared = [] if best_step is None else [checkpoint_file(folder, best_step)]
    for path in checkpoints(folder)[:-keep]:
        if path not in spared:
            path.unlink()


def set_aside(folder: Path) -> Path | None:
    """Rename a run's folder to the first free `<folder>.<number>`; None where there is no such folder."""
    if not folder.exists():
        return None
    targets = (folder.with_name(f"{folder.name}.{number}") for number in itertools.count(1))
    return folder.rename(next(target for target in targets if not target.exists()))


def resume(training: Training) -> None:
    """Go on from the newest checkpoint that can be read; with `fresh`, set an earlier run aside instead."""
    accelerator, folder = training.accelerator, training.folder
    found: tuple[Path, dict[str, Any]] | None = None
    if accelerator.is_main_process:
        before = set_aside(folder) if training.run.fresh else None
        if before is not None:
            print(f"the run before is kept in {before}")
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp[0-9]*"):
            leftover.unlink()
        found = load_newest(folder)
    path = from_first(accelerator, found[0] if found else None)
    if path is None:
        return
    loaded = found or load_newest(folder)
    if loaded is None or loaded[0] != path:
        raise MissingFileError(f"{path} is not seen by all processes: --workspace must be a folder that they share")
    training.load_state_dict(loaded[1], path)
    if accelerator.is_main_process:
        print(f"resuming {training.recipe.name} after step {training.step} from {path}")


def save(training: Training) -> None:
    """A checkpoint of the state, all processes together; old ones are deleted.

    Raises:
        OSError: the disk is full, say; raised in all processes. Older checkpoints are untouched.
    """
    average_statistics(training)
    failure: list[str] = []
    if training.accelerator.is_main_process:
        try:
            save_training_state(checkpoint_file(training.folder, training.step), training.state_dict())
            delete_old(training.folder, training.run.keep, training.best["step"] if training.best else None)
        except OSError as error:
            failure = [str(error)]
    for message in gather(training.accelerator, failure):
        raise OSError(message)


@torch.no_grad()
def average_statistics(training: Training) -> None:
    """Batch norm's running statistics, and the averages of them, become their means over the processes."""
    live = running_statistics(training.net)
    averages = dict(training.judged.net.named_buffers()) if training.average else {}
    average_in_place(training.accelerator, [*live.values(), *(averages[name] for name in live if name in averages)])


def stop_if_asked(training: Training, stop: StopRequest) -> None:
    """Raises `StoppedBySignal` in all processes if one of them has had a signal. The state is saved before."""
    number = max(gather(training.accelerator, [stop.number or 0]))
    if number:
        name, step = signal.Signals(number).name, training.step
        raise StoppedBySignal(number, f"stopped by {name} after step {step}, which is saved: the same command goes on")


def keep_best(training: Training, record: dict[str, Any]) -> None:
    """Write `best_network.safetensors` if this is the best validation so far."""
    recipe, name = training.recipe, training.recipe.best_metric
    if name not in record:
        if not name.startswith("tracking/") and "loss" in record:
            raise unknown_name("validation metric (best_metric)", name, record)
        return
    sign = 1 if recipe.best_is == "highest" else -1
    if training.best is None or sign * record[name] > sign * training.best["value"]:
        training.best = {"metric": name, "value": record[name], "epoch": record["epoch"], "step": training.step}
        if training.accelerator.is_main_process:
            save_result(training, training.folder / "best_network.safetensors")


def save_result(training: Training, path: Path) -> None:
    """Write the network (its averaged weights, where there are such) with a card."""
    card = {"recipe": training.recipe.to_dict(), "environment": environment(), "best": training.best}
    recipe = training.recipe
    save_network(path, training.judged.net, recipe.network, card, tracking=recipe.tracking_settings())


def non_finite(training: Training, batches: list[Batch], outputs: list[StepOutput]) -> NonFiniteLossError:
    """Keep this step and say what was in it. All processes call this together, before the optimiser's step.

    The processes whose losses are not finite write `nonfinite_<process>.pt`: their micro-batches and the training state
    before the step. If all losses are finite and the gradient is not, all processes do.

    Args:
        batches, outputs: inputs and outputs of this process's micro-batches.
    """
    accelerator = training.accelerator
    bad = [not bool(torch.isfinite(output.loss)) for output in outputs]
    anywhere = any(gather(accelerator, [any(bad)]))
    lines: list[str] = []
    if any(bad) or not anywhere:
        kept = training.folder / f"nonfinite_{accelerator.process_index}.pt"
        save_training_state(kept, {**training.state_dict(), "batches": batches})
        shown = [number for number, wrong in enumerate(bad) if wrong or not anywhere]
        lines = [_describe(batches[number], outputs[number]) for number in shown]
        lines[-1] += f". Kept in {kept}"
    found = "; ".join(gather(accelerator, lines))
    kind = "loss" if anywhere else "gradient (all losses are finite)"
    return NonFiniteLossError(
        f"the {kind} is not finite at step {training.step + 1}, epoch {training.epochs + 1}: {found}. "
        "The weights have not seen it, and the last checkpoint is whole"
    )


def _describe(batch: Batch, output: StepOutput) -> str:
    parts = {name: value for name, value in output.statistics.items() if name.startswith("loss")}
    losses = ", ".join(f"{name} {float(value):.4g}" for name, value in parts.items())
    return f"{losses} in the micro-batch of {', '.join(batch['sources'])}"
