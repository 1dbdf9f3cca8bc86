"""Optimiser, schedule, gradient clipping and averaged weights, as a recipe describes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ltr.errors import UserError
from ltr.train_settings.recipe import OptimiserSettings


def make_optimiser(net: nn.Module, settings: OptimiserSettings) -> torch.optim.Adam:
    """Adam with one group a prefix of `learning_rates`; parameters without a prefix are frozen.

    Raises:
        ValueError: for a prefix that no trainable parameter has.
    """
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in settings.learning_rates}
    for name, parameter in net.named_parameters():
        prefixes = [p for p in groups if name == p or name.startswith(p + ".")]
        if prefixes and parameter.requires_grad:
            groups[max(prefixes, key=len)].append(parameter)
        else:
            parameter.requires_grad_(False)
    empty = [prefix for prefix, parameters in groups.items() if not parameters]
    if empty:
        raise UserError(f"learning_rates names '{empty[0]}', but no trainable parameter of the network begins so")
    return torch.optim.Adam(
        [
            {"params": groups[name], "lr": rate, "initial_lr": rate, "name": name}
            for name, rate in settings.learning_rates.items()
        ]
    )


def rate_factor(settings: OptimiserSettings, epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor of the learning rates as a function of the step. Raises ValueError for an unknown schedule."""
    total = epochs * steps_per_epoch

    def stepwise(step: int) -> float:
        return settings.decay ** (step // (settings.decay_epochs * steps_per_epoch))

    def cosine(step: int) -> float:
        if step < settings.warmup_steps:
            return (step + 1) / settings.warmup_steps
        done = (step - settings.warmup_steps) / max(total - settings.warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    factors: dict[str, Callable[[int], float]] = {"step": stepwise, "cosine": cosine}
    if settings.schedule not in factors:
        raise UserError(f"schedule must be 'step' or 'cosine', not '{settings.schedule}'")
    return factors[settings.schedule]


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Every group's learning rate: its first one times a factor."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def gradient_norms(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The 2-norm of the gradients of each group, by the group's name."""
    norms = {}
    for group in optimiser.param_groups:
        gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        parts = [torch.linalg.vector_norm(gradient) for gradient in gradients]
        norms[group["name"]] = torch.linalg.vector_norm(torch.stack(parts)) if parts else torch.zeros(())
    return norms


def clip_gradients(optimiser: torch.optim.Optimizer, limit: float) -> Tensor:
    """Scale all gradients so that their common norm is at most `limit` (0: leave them); returns the norm before."""
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return nn.utils.clip_grad_norm_(trained, limit or math.inf, error_if_nonfinite=False)


class WeightAverage:
    """Exponential moving average of trained parameters and running statistics.

    After step n = 1, 2, ...: average = d average + (1 - d) weights, with d = min(decay, n / (n + 9)), so that the first
    steps are not weighed down by the random start.

    Args:
        net: with its trained parameters marked by `requires_grad`.
        decay: 0 keeps no average.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"ema_decay must lie between 0 and 1 (excluded), not {decay}")
        self.decay = decay
        self.steps = 0
        trained = {name: value for name, value in net.named_parameters() if value.requires_grad}
        buffers = {name: value for name, value in net.named_buffers() if value.is_floating_point()}
        self.live: dict[str, Tensor] = {**trained, **buffers} if decay else {}
        self.average = {name: value.detach().clone() for name, value in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """After each step of the optimiser."""
        self.steps += 1
        rate = 1 - min(self.decay, self.steps / (self.steps + 9))
        for name, value in self.live.items():
            self.average[name].lerp_(value, rate)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights inside the block (its own where none are kept)."""
        own = {name: value.detach().clone() for name, value in self.live.items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, value in self.live.items():
            value.copy_(values[name])

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """From a checkpoint of the same network and decay."""
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        stored: dict[str, Tensor] = state["average"]  # type: ignore[assignment]
        for name, value in self.average.items():
            value.copy_(stored[name])
