"""What a run is made of at a step: everything that a checkpoint holds, and nothing else decides the steps to come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ltr.admin.checkpoint import CheckpointError
from ltr.errors import UserError
from ltr.train_settings.recipe import Recipe
from ltr.trainers.optimisation import WeightAverage


@dataclass
class TrainingState:
    """A run between two steps.

    Attributes:
        recipe: of the run.
        net, optimiser, scaler, average: what learns; `scaler` acts in fp16 only, `average` where the recipe says so.
        step: optimiser steps done.
        epochs: epochs done, their validation included.
        best: epoch, step, figure and value of the best validation so far; None before the first.
    """

    recipe: Recipe
    net: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    step: int = 0
    epochs: int = 0
    best: dict[str, Any] | None = None

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
            "average": self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same recipe.

        Raises:
            CheckpointError: it lacks a part.
        """
        missing = [name for name in ("step", "epochs", "best", "scaler", "average") if name not in state]
        if missing:
            raise CheckpointError(f"the checkpoint has no '{missing[0]}': it is of an earlier version; pass --fresh")
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.average.load_state_dict(state["average"])
        self.step, self.epochs, self.best = state["step"], state["epochs"], state["best"]


def check_same_recipe(stored: dict[str, Any], recipe: Recipe, path: object) -> None:
    """Raises ValueError if a checkpoint was made with another recipe; names the settings that differ."""
    current = json.loads(json.dumps(recipe.to_dict()))
    before = json.loads(json.dumps(stored))
    different = [key for key in current if current[key] != before.get(key)]
    if different:
        raise UserError(
            f"{path} was made with another recipe (they differ in {', '.join(different)}): pass --fresh to start anew, "
            "or another --workspace"
        )


def micro_batch_seed(seed: int, step: int, micro_batch: int) -> int:
    """The seed of all randomness of a micro-batch of a step: the first 63 bits of NumPy's SeedSequence of the three.

    Nothing is carried over from step to step, so a checkpoint holds no random states, and no number of processes or
    order of work changes what is drawn.
    """
    return int(np.random.SeedSequence([seed, step, micro_batch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seeded_generator(seed: int, step: int, micro_batch: int, device: torch.device) -> torch.Generator:
    """A generator of box samples for a micro-batch; torch's global generators are seeded likewise (dropout)."""
    number = micro_batch_seed(seed, step, micro_batch)
    torch.manual_seed(number)
    return torch.Generator(device).manual_seed(number)
