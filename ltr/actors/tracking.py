"""One batch -> loss and statistics, for networks whose box head is an energy: with a target classifier, or without."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ltr.actors.energy import PRECISIONS, BoxEnergy, half_precision, independent_boxes
from ltr.actors.iou_regression import BOX_METHODS
from ltr.ebm.methods import create_method
from ltr.ebm.objectives import kl_grid, lb_hinge
from ltr.errors import UserError, unknown_name
from ltr.models.bbreg.atom import AtomNet
from ltr.models.tracking.dimpnet import CLASSIFICATION_LAYER, DiMPNet
from ltr.models.tracking.tracking_net import BOX_LAYERS
from ltr.ops.labels import gaussian_label
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings, Recipe

Batch = dict[str, Any]
Features = dict[str, Tensor]


class StepOutput(NamedTuple):
    """A step's loss (a scalar with its graph) and its statistics (detached scalars by name)."""

    loss: Tensor
    statistics: dict[str, Tensor]


class Actor(nn.Module):
    """A network and how it is trained: `actor(batch, generator)` is a step's loss, here the box head's alone (ATOM).

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
            generator: generator of the box samples, on the same device.
        """
        train, test = self.features(batch["train_images"], batch["test_images"])
        box_loss, statistics = self.box_loss(train, test, batch, generator)
        loss = self.box.weight * box_loss
        return StepOutput(loss, {**statistics, "loss": loss.detach(), "loss/box": box_loss.detach()})

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
        with independent_boxes(self.net.bb_regressor, energy, generator) if follows else nullcontext():
            output = self.method.loss(energy, energy.annotation, generator=generator)
        # Score matching does not see a constant on all scores; DistributedDataParallel wants its gradient all the same.
        loss = output.loss.mean() + 0.0 * self.net.bb_regressor.iou_predictor.bias.sum()
        return loss, {f"box/{name}": value for name, value in output.statistics.items()}


class DiMPActor(Actor):
    """Trains a DiMP network, the target classifier's loss besides the box head's; arguments as for `Actor`.

    Args:
        classifier: how the target classifier is trained.

    Raises:
        ValueError: as `Actor`, or an unknown loss of the classifier.
    """

    net: DiMPNet

    def __init__(self, net: DiMPNet, box: BoxSettings, classifier: ClassifierSettings, precision: str = "fp32") -> None:
        super().__init__(net, box, precision)
        if classifier.loss not in ("hinge", "kl"):
            raise UserError(f"loss of the classifier must be 'hinge' or 'kl', not '{classifier.loss}'")
        self.classifier = classifier

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> StepOutput:
        """See `Actor`."""
        train, test = self.features(batch["train_images"], batch["test_images"])
        size = batch["test_images"].shape[-1]
        clf_loss, statistics = self.classifier_loss(train, test, batch["train_boxes"], batch["test_boxes"], size)
        box_loss, box_statistics = self.box_loss(train, test, batch, generator)
        statistics.update(box_statistics)
        loss = clf_loss + self.box.weight * box_loss
        statistics.update({"loss": loss.detach(), "loss/classifier": clf_loss.detach(), "loss/box": box_loss.detach()})
        return StepOutput(loss, statistics)

    def classifier_loss(
        self, train: Features, test: Features, train_boxes: Tensor, test_boxes: Tensor, size: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of the score maps of all filter iterates (docs/reference.md, section 3); `size` is the crop's side."""
        settings = self.classifier
        maps = self.net.classifier(train[CLASSIFICATION_LAYER], test[CLASSIFICATION_LAYER], train_boxes)
        label = gaussian_label(
            test_boxes,
            image_size=size,
            feature_size=size // self.net.feature_stride,
            filter_size=self.net.classifier.filter_size,
            sigma_factor=settings.label_sigma_factor,
        )
        if settings.loss == "kl":
            # Sums to 1 as it is, unless the target is near the border: without that, adding a constant to all scores
            # would lower the loss without end.
            density = label / label.sum((-2, -1), keepdim=True).clamp(min=torch.finfo(label.dtype).tiny)
            losses = kl_grid(torch.stack(maps), density).flatten(1).mean(1)
        else:
            losses = lb_hinge(torch.stack(maps), label, settings.hinge_threshold).flatten(1).mean(1)
        loss = settings.final_weight * losses[-1] + settings.initial_weight * losses[0]
        if len(losses) > 2:
            loss = loss + settings.iteration_weight * losses[1:-1].mean()
        with torch.no_grad():
            peaks = maps[-1].flatten(-2).argmax(-1)
            hits = label.flatten(-2).gather(-1, peaks.unsqueeze(-1)) > 0.5
            statistics = {
                "classifier/initial": losses[0].detach(),
                "classifier/final": losses[-1].detach(),
                "classifier/peak_hits": hits.float().mean(),
            }
        return loss, statistics


def make_actor(recipe: Recipe, net: nn.Module) -> Actor:
    """The actor of a recipe around its network.

    Args:
        net: from `recipe.network.build()`, on its device.

    Raises:
        ValueError: classifier settings for a network without a classifier or none for one that has it, a network of
            another kind, or settings that the actor refuses.
    """
    if isinstance(net, DiMPNet):
        if recipe.classifier is None:
            raise UserError(f"recipe '{recipe.name}' has no classifier settings, but its network has a classifier")
        return DiMPActor(net, recipe.box, recipe.classifier, recipe.precision)
    if isinstance(net, AtomNet):
        if recipe.classifier is not None:
            raise UserError(f"recipe '{recipe.name}' has classifier settings, but its network has no classifier")
        return Actor(net, recipe.box, recipe.precision)
    raise UserError(f"there is no actor for a {type(net).__name__}")
