"""A run in progress: its settings on this machine, its parts, and the state that a checkpoint holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ltr.actors.base import BaseActor, StepOutput
from ltr.admin.checkpoint import load_network
from ltr.data.loader import EpochLoader
from ltr.data.processing import CropProcessing
from ltr.data.sampler import SampleFrames, TrackingSampler, read_hard_samples
from ltr.errors import CheckpointError, UserError
from ltr.train_settings.recipe import DataSource, Recipe, TrackingValidation
from ltr.train_settings.sources import Weighted, open_groups, open_sources
from ltr.trainers.log import RunLog

if TYPE_CHECKING:
    from accelerate import Accelerator

# Tracks with a network file, working in a folder; returns metrics such as {"auc": 61.2}.
Track = Callable[[Path, Path], dict[str, float]]
# Checks what a recipe says of tracking (ValueError), and returns how to do it.
PrepareTracking = Callable[[TrackingValidation], Track]

_MOST_WORKERS = 16


def default_workers() -> int:
    """Two loading processes; beside a GPU this process's share of the cores, at most 16."""
    if not torch.cuda.is_available():
        return 2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return max(2, min(_MOST_WORKERS, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@dataclass(frozen=True)
class RunSettings:
    """How a recipe is run here: what differs between machines and launches, and does not decide the weights.

    Attributes:
        workspace: checkpoints and logs go to `<workspace>/<recipe name>`; with several machines, a shared folder.
        device: 'cpu', 'cuda', ...; by default CUDA where there is one. With several processes, each takes its own GPU.
        num_workers: data loading processes, of each training process.
        keep: training checkpoints kept besides the best, the oldest go first.
        checkpoint_interval: steps between checkpoints inside an epoch; 0 saves at the ends of epochs only.
        log_interval: steps between lines of the log.
        fresh: start from the beginning although there is a checkpoint; the earlier run is kept under another name.
        compile: run the convolutional parts through torch.compile.
    """

    workspace: Path = field(default_factory=lambda: Path("workspace"))
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    num_workers: int = field(default_factory=default_workers)
    keep: int = 3
    checkpoint_interval: int = 500
    log_interval: int = 20
    fresh: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name, least in (("num_workers", 0), ("keep", 1), ("checkpoint_interval", 0), ("log_interval", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}")


@dataclass
class Training:
    """A run in progress, in one process. Nothing but the state that it saves decides the steps to come.

    Attributes:
        actor: computes losses; `step_actor` is the same, wrapped where several processes average their gradients.
        judged: an actor around the network that comes out: the averaged weights, where the recipe keeps them.
        average: those weights; None without.
        scaler: acts in fp16 only.
        own: the micro-batches of a step that are this process's.
        factor: factor of the learning rates, by the step.
        track: for validation by tracking; None for none.
        log: None in all processes but the first.
        step: optimiser steps done.
        epochs: epochs done, their validation included.
        best: epoch, step, name and value of the best validation so far; None before the first.
    """

    recipe: Recipe
    run: RunSettings
    accelerator: Accelerator
    device: torch.device
    actor: BaseActor
    step_actor: Callable[..., StepOutput]
    judged: BaseActor
    average: AveragedModel | None
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loader: EpochLoader
    validation: EpochLoader
    own: range
    steps_per_epoch: int
    factor: Callable[[int], float]
    track: Track | None
    log: RunLog | None = None
    step: int = 0
    epochs: int = 0
    best: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """Where the run writes."""
        return self.run.workspace / self.recipe.name

    @property
    def net(self) -> nn.Module:
        """The network that learns."""
        return self.actor.net

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: tensors, numbers, strings and containers."""
        return {
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "epochs": self.epochs,
            "best": self.best,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else {},
        }

    def load_state_dict(self, state: dict[str, Any], path: Path) -> None:
        """Go on from a checkpoint, which was read from `path`.

        Raises:
            CheckpointError: it lacks a part, or an earlier version wrote it.
            UserError: it was made with another recipe; the settings that differ are named.
        """
        current, before = json.loads(json.dumps([self.recipe.to_dict(), state.get("recipe", {})]))
        different = [key for key in current if current[key] != before.get(key)]
        if different:
            raise UserError(
                f"{path} was made with another recipe (they differ in {', '.join(different)}): pass --fresh to start "
                "from the beginning, or another --workspace"
            )
        missing = self.state_dict().keys() - state.keys()
        if missing or state["average"].keys() != (self.average.state_dict().keys() if self.average else set()):
            raise CheckpointError(f"{path} was written by an earlier version: pass --fresh to start from the beginning")
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.step, self.epochs, self.best = state["step"], state["epochs"], state["best"]


def share_of(recipe: Recipe, process: int, processes: int) -> range:
    """Which of a step's micro-batches are a process's. Raises ValueError if they cannot be shared equally."""
    each, rest = divmod(recipe.micro_batches, processes)
    if rest or not each:
        raise UserError(
            f"{processes} processes cannot share {recipe.micro_batches} micro-batches a step: --set "
            f"micro_batches={processes} divides the batch of {recipe.batch_size}, or change batch_size with it"
        )
    return range(process * each, (process + 1) * each)


def first_network(recipe: Recipe) -> nn.Module:
    """The recipe's network as training begins: as its constructor makes it, or with the weights of `recipe.start`.

    Raises:
        CheckpointError: `recipe.start` is no network, or one that lacks more than the recipe's box head.
    """
    if not recipe.start:
        return recipe.network.build()
    net = recipe.network.build(backbone_pretrained=False)
    weights = net.state_dict()
    start = load_network(recipe.start).state_dict()
    lacking = {name for name in weights.keys() - start.keys() if not name.startswith("bb_regressor.")}
    try:
        if lacking:
            raise RuntimeError(f"it has no {min(lacking)}")
        net.load_state_dict(weights | start)
    except RuntimeError as error:
        raise CheckpointError(
            f"start={recipe.start}: its weights do not fit the recipe's {recipe.network.name}; "
            "start from a network of the same constructor and arguments"
        ) from error
    return net


def make_samplers(recipe: Recipe) -> tuple[TrackingSampler, TrackingSampler]:
    """The samplers of a recipe's training and validation data.

    Raises:
        UserError: as `open_groups`, over both together; or hard samples that are not of this data.
    """
    data = recipe.data
    train, validation = open_groups((data.train, data.validation), recipe.seed)
    hard = read_hard_samples(data.hard_samples) if data.hard_samples else []
    return (
        sampler_of(recipe, train, data.samples_per_epoch, recipe.seed, hard),
        sampler_of(recipe, validation, data.validation_samples, recipe.seed + 1),
    )


def make_sampler(recipe: Recipe, sources: tuple[DataSource, ...], samples: int, seed: int) -> TrackingSampler:
    """A sampler as the recipe's, of other data sets, `samples` sequences an epoch."""
    return sampler_of(recipe, open_sources(sources, recipe.seed), samples, seed)


def sampler_of(
    recipe: Recipe, datasets: list[Weighted], samples: int, seed: int, hard: Sequence[SampleFrames] = ()
) -> TrackingSampler:
    """A sampler as the recipe's, of data sets that are open, `samples` sequences an epoch."""
    return TrackingSampler(
        datasets,
        CropProcessing(recipe.crop),
        samples_per_epoch=samples,
        max_gap=recipe.data.max_gap,
        least_frames=recipe.data.least_frames,
        least_visible=recipe.data.least_visible,
        least_still_side=recipe.data.least_still_side,
        num_train_frames=recipe.data.train_frames,
        num_test_frames=recipe.data.test_frames,
        mode=recipe.data.sampling_mode,
        seed=seed,
        hard=hard,
        hard_share=recipe.data.hard_share,
    )


def micro_batch_seed(seed: int, step: int, micro_batch: int) -> int:
    """The seed of whatever a micro-batch of a step draws: the first 63 bits of NumPy's SeedSequence of the three.

    Nothing is carried over from step to step, so a checkpoint holds no random states, and no number of processes or
    order of work changes what is drawn.
    """
    return int(np.random.SeedSequence([seed, step, micro_batch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seeded_generator(seed: int, step: int, micro_batch: int, device: torch.device) -> torch.Generator:
    """A generator of box samples for a micro-batch; torch's global generators are seeded likewise (dropout)."""
    number = micro_batch_seed(seed, step, micro_batch)
    torch.manual_seed(number)
    return torch.Generator(device).manual_seed(number)
