"""What all actors do: backbone features of a batch, the energy of its test frames, and the box head's loss."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ltr.actors.apart import boxes_apart
from ltr.actors.energy import PRECISIONS, BoxEnergy, half_precision
from ltr.actors.iou_regression import BOX_METHODS
from ltr.ebm.methods import create_method
from ltr.errors import unknown_name
from ltr.models.bbreg.atom import AtomNet
from ltr.models.tracking.dimpnet import DiMPNet
from ltr.models.tracking.tracking_net import BOX_LAYERS
from ltr.train_settings.recipe import BoxSettings

Batch = dict[str, Any]
Features = dict[str, Tensor]


class StepOutput(NamedTuple):
    """A step's loss (a scalar with its graph) and its statistics (detached scalars by name)."""

    loss: Tensor
    statistics: dict[str, Tensor]


class Actor(nn.Module):
    """A network and how it is trained: `actor(batch, generator)` is a step's loss. Subclasses say what it sums up.

    A module, so that `DistributedDataParallel` can wrap the whole step. Freezes the stages of the backbone that are not
    used.

    Args:
        net: on its device, in the mode wanted.
        box: how the box head is trained.
        precision: a name of `PRECISIONS`, of the backbone and the box head. With 'fp16' the caller scales the loss.

    Raises:
        ValueError: an unknown precision or objective, or a setting that the objective does not have.
    """

    def __init__(self, net: DiMPNet | AtomNet, box: BoxSettings, precision: str = "fp32") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS)
        self.net = net
        self.box = box
        self.precision = precision
        self.method = create_method(box.objective, BOX_METHODS, **box.arguments)
        # They belong to public checkpoints, but no feature in use depends on them: they would never get the gradient
        # that DistributedDataParallel waits for.
        for name in ("layer4", "fc"):
            unused = getattr(net.feature_extractor, name, None)
            if isinstance(unused, nn.Module):
                unused.requires_grad_(False)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> StepOutput:
        """Loss of a batch.

        Args:
            batch: `train_images`, `test_images` [n, S, 3, H, W] uint8 RGB; `train_boxes`, `test_boxes` [n, S, 4]
                (x, y, w, h) in crop pixels; all on the network's device.
            generator: of the box samples, on the same device.
        """
        raise NotImplementedError

    def features(self, train_images: Tensor, test_images: Tensor) -> tuple[Features, Features]:
        """Backbone features of train and test frames, [n, S, C, h, w] by layer, in one pass."""
        sequences = train_images.shape[1]
        images = torch.cat((train_images.flatten(0, 1), test_images.flatten(0, 1)))
        with half_precision(images.device, self.precision):
            inputs = self.net.normalise(images).contiguous(memory_format=torch.channels_last)
            extracted = self.net.extract_backbone_features(inputs)
        count = len(train_images) * sequences
        train: Features = {}
        test: Features = {}
        for name, feature in extracted.items():
            full = feature.float()
            train[name] = full[:count].unflatten(0, (-1, sequences))
            test[name] = full[count:].unflatten(0, (-1, sequences))
        return train, test

    def energy(self, train: Features, test: Features, train_boxes: Tensor, test_boxes: Tensor) -> BoxEnergy:
        """The energies of all test frames, the target taken from the first train frame."""
        frames = len(test_boxes)
        head = self.net.bb_regressor
        with half_precision(test_boxes.device, self.precision):
            modulation = head.get_modulation([train[name][0] for name in BOX_LAYERS], train_boxes[0])
            features = head.get_iou_feat([test[name].flatten(0, 1) for name in BOX_LAYERS])
        repeated = (modulation[0].repeat(frames, 1), modulation[1].repeat(frames, 1))
        return BoxEnergy(head, repeated, features, test_boxes.flatten(0, 1), self.precision)

    def energy_of(self, batch: Batch) -> BoxEnergy:
        """The energies of a batch's test frames (see `forward`)."""
        train, test = self.features(batch["train_images"], batch["test_images"])
        return self.energy(train, test, batch["train_boxes"], batch["test_boxes"])

    def box_loss(
        self, train: Features, test: Features, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the box head without its weight, and `box/...` statistics.

        Samples and their log densities are drawn here, on the device, for the whole batch at once.
        """
        energy = self.energy(train, test, batch["train_boxes"], batch["test_boxes"])
        # A method that was registered from outside need not say.
        follows = getattr(self.method, "follows_gradient", False)
        with boxes_apart(self.net.bb_regressor, energy, generator) if follows else nullcontext():
            output = self.method.loss(energy, energy.annotation, generator=generator)
        # Score matching does not see a constant on all scores; DistributedDataParallel wants its gradient all the same.
        loss = output.loss.mean() + 0.0 * self.net.bb_regressor.iou_predictor.bias.sum()
        return loss, {f"box/{name}": value for name, value in output.statistics.items()}
