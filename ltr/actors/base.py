"""What all actors share: a network, an objective for its energy where it has one, and a step's loss."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ltr.actors.energy import PRECISIONS, BoxEnergy, independent_boxes
from ltr.actors.iou_regression import BOX_METHODS
from ltr.ebm.methods import Method, create_method
from ltr.errors import check_names
from ltr.train_settings.recipe import BoxSettings

Batch = dict[str, Any]


class StepOutput(NamedTuple):
    """A step's loss (a scalar with its graph) and its statistics (detached scalars by name)."""

    loss: Tensor
    statistics: dict[str, Tensor]


class BaseActor(nn.Module):
    """A network and how it is trained: `actor(batch, generator)` is a step's loss.

    A module, so that `DistributedDataParallel` can wrap the whole step.

    Args:
        net: on its device, in the mode wanted.
        box: how its box head is trained; None where it has none.
        precision: a name of `PRECISIONS`, of the backbone and the box head. With 'fp16' the caller scales the loss.

    Raises:
        ValueError: an unknown precision or objective, or a setting that the objective does not have.
    """

    def __init__(self, net: nn.Module, box: BoxSettings | None, precision: str = "fp32") -> None:
        super().__init__()
        check_names("precision", [precision], PRECISIONS)
        self.net: Any = net
        self.box = box
        self.precision = precision
        self.method: Method | None = None if box is None else create_method(box.objective, BOX_METHODS, **box.arguments)

    def begin_epoch(self, epoch: int) -> None:
        """Take over what changes with the epoch, counted from 1; here nothing does."""

    def energy_of(self, batch: Batch) -> BoxEnergy:
        """The energies of a batch's test frames, of a network with a box head."""
        raise NotImplementedError

    def energy_loss(self, energy: BoxEnergy, generator: torch.Generator | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of an energy without its weight, and `box/...` statistics.

        Samples and their log densities are drawn here, on the device, for the whole batch at once.
        """
        assert self.method is not None
        # A method that was registered from outside need not say.
        follows = getattr(self.method, "follows_gradient", False)
        with independent_boxes(energy.head, energy, generator) if follows else nullcontext():
            output = self.method.loss(energy, energy.annotation, generator=generator)
        # Score matching does not see a constant on all scores; DistributedDataParallel wants its gradient all the same.
        loss = output.loss.mean() + 0.0 * energy.head.iou_predictor.bias.sum()
        return loss, {f"box/{name}": value for name, value in output.statistics.items()}
