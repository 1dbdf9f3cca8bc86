"""One batch -> loss and statistics, for ATOM networks: the box head's loss alone."""

from __future__ import annotations

import torch

from ltr.actors.base import Actor, Batch, StepOutput


class AtomActor(Actor):
    """Trains the box head of an ATOM network, whose classifier is learned online only; arguments as for `Actor`."""

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> StepOutput:
        """See `Actor`."""
        train, test = self.features(batch["train_images"], batch["test_images"])
        box_loss, statistics = self.box_loss(train, test, batch, generator)
        loss = self.box.weight * box_loss
        return StepOutput(loss, {**statistics, "loss": loss.detach(), "loss/box": box_loss.detach()})
