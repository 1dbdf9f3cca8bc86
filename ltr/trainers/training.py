"""A run in progress: its parts, how processes share a step, and how it takes up an earlier run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ltr.actors.base import Actor, StepOutput
from ltr.data.loader import EpochLoader
from ltr.data.processing import CropProcessing
from ltr.data.sampler import TrackingSampler
from ltr.errors import MissingFileError, UserError
from ltr.train_settings.recipe import DataSource, Recipe
from ltr.train_settings.sources import open_sources
from ltr.trainers.checkpoints import load_newest, remove_leftovers, set_aside
from ltr.trainers.processes import from_first
from ltr.trainers.run_log import RunLog
from ltr.trainers.settings import RunSettings
from ltr.trainers.state import TrainingState, check_same_recipe
from ltr.trainers.tracking_validation import Track

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class Training:
    """A run in progress, in one process.

    Attributes:
        actor: computes losses; `step_actor` is the same, wrapped where several processes average their gradients.
        own: the micro-batches of a step that are this process's.
        factor: of the learning rates, by the step.
        track: for validation by tracking; None for none.
        log: None in all processes but the first.
    """

    recipe: Recipe
    run: RunSettings
    folder: Path
    processes: Accelerator
    device: torch.device
    actor: Actor
    step_actor: Callable[..., StepOutput]
    state: TrainingState
    loader: EpochLoader
    validation: EpochLoader
    own: range
    steps_per_epoch: int
    factor: Callable[[int], float]
    track: Track | None
    log: RunLog | None = None

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.state.net


def share_of(recipe: Recipe, process: int, processes: int) -> range:
    """Which of a step's micro-batches are a process's. Raises ValueError if they cannot be shared equally."""
    each, rest = divmod(recipe.micro_batches, processes)
    if rest or not each:
        raise UserError(
            f"{processes} processes cannot share {recipe.micro_batches} micro-batches a step: --set "
            f"micro_batches={processes} divides the batch of {recipe.batch_size}, or change batch_size with it"
        )
    return range(process * each, (process + 1) * each)


def compile_features(net: nn.Module) -> None:
    """Run backbone and classification features through torch.compile at their next call; names stay as they are."""
    for module in (net.feature_extractor, getattr(getattr(net, "classifier", None), "feature_extractor", None)):
        if isinstance(module, nn.Module):
            module.compile()


def resume(folder: Path, state: TrainingState, run: RunSettings, processes: Accelerator) -> None:
    """Put the newest checkpoint that can be read into `state`; with `fresh`, set an earlier run aside instead."""
    found: tuple[Path, dict[str, Any]] | None = None
    if processes.is_main_process:
        before = set_aside(folder) if run.fresh else None
        if before is not None:
            print(f"the run before is kept in {before}")
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        found = load_newest(folder)
    path = from_first(processes, found[0] if found else None)
    if path is None:
        return
    loaded = found or load_newest(folder)
    if loaded is None or loaded[0] != path:
        raise MissingFileError(f"{path} is not seen by all processes: --workspace must be a folder that they share")
    check_same_recipe(loaded[1]["recipe"], state.recipe, path)
    state.load_state_dict(loaded[1])
    if processes.is_main_process:
        print(f"resuming {state.recipe.name} after step {state.step} from {path}")


def make_sampler(recipe: Recipe, sources: tuple[DataSource, ...], samples: int, seed: int) -> TrackingSampler:
    """The sampler of a recipe's training or validation data, `samples` sequences an epoch."""
    return TrackingSampler(
        open_sources(sources, recipe.seed),
        CropProcessing(recipe.crop),
        samples_per_epoch=samples,
        max_gap=recipe.data.max_gap,
        num_train_frames=recipe.data.train_frames,
        num_test_frames=recipe.data.test_frames,
        mode=recipe.data.sampling_mode,
        seed=seed,
    )
