"""Optimiser, schedule, gradient clipping and averaged weights, as a recipe describes them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ltr.errors import UserError
from ltr.train_settings.recipe import OptimiserSettings


def make_optimiser(net: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Adam, or AdamW where there is weight decay, with one group a prefix of `learning_rates`; the rest is frozen.

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
    described = [
        {"params": groups[name], "lr": rate, "initial_lr": rate, "name": name}
        for name, rate in settings.learning_rates.items()
    ]
    if settings.weight_decay:
        return torch.optim.AdamW(described, weight_decay=settings.weight_decay)
    return torch.optim.Adam(described)


def rate_factor(settings: OptimiserSettings, epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor of the learning rates as a function of the step. Raises ValueError for an unknown schedule."""
    if settings.schedule not in ("step", "cosine"):
        raise UserError(f"schedule must be 'step' or 'cosine', not '{settings.schedule}'")
    total, warmup = epochs * steps_per_epoch, settings.warmup_steps

    def factor(step: int) -> float:
        if settings.schedule == "step":
            return settings.decay ** (step // (settings.decay_epochs * steps_per_epoch))
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(total - warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return factor


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Every group's learning rate: its first one times a factor."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


@torch.no_grad()
def clip_gradients(optimiser: torch.optim.Optimizer, limit: float) -> dict[str, Tensor]:
    """Scale all gradients so that their common 2-norm is at most `limit` (0: leave them).

    Returns:
        Norms before: `gradient_norm`, and `gradient_norm/<group>` for each group.
    """
    norms: dict[str, Tensor] = {}
    everything: list[Tensor] = []
    for group in optimiser.param_groups:
        gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        parts = torch.stack(torch._foreach_norm(gradients)) if gradients else torch.zeros(1)
        norms[f"gradient_norm/{group['name']}"] = torch.linalg.vector_norm(parts)
        everything += gradients
    norm = torch.linalg.vector_norm(torch.stack(list(norms.values())))
    if limit and everything:
        torch._foreach_mul_(everything, (limit / (norm + 1e-6)).clamp(max=1.0))
    return {"gradient_norm": norm, **norms}


def average_weights(net: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of a network's parameters and running statistics; None where `decay` is 0.

    The first update takes the weights as they are. After step n = 2, 3, ...: average = d average + (1 - d) weights,
    with d = min(decay, n / (n + 9)), so that the first steps are not weighed down by the random start.
    """
    if not 0 <= decay < 1:
        raise UserError(f"ema_decay must lie between 0 and 1 (excluded), not {decay}")

    if not decay:
        return None

    @torch.no_grad()
    def blend(averages: list[Tensor], weights: list[Tensor], updates: Tensor | int) -> None:
        # The averaged model's own count, which lies on the CPU: `updates` is a copy on the device, to be waited for.
        step = int(average.n_averaged) + 1
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - min(decay, step / (step + 9)))
        else:
            torch._foreach_copy_(averages, weights)

    average = AveragedModel(net, multi_avg_fn=blend, use_buffers=True)  # type: ignore[arg-type]
    return average
