"""One batch -> loss and statistics, for CNNs whose box head is an energy: with a target classifier, or without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltr.actors.base import BaseActor, Batch, StepOutput
from ltr.actors.energy import BoxEnergy, half_precision
from ltr.actors.ostrack import OSTrackActor
from ltr.ebm.objectives import kl_grid, lb_hinge
from ltr.errors import UserError
from ltr.models.bbreg.atom import AtomNet
from ltr.models.tracking.dimpnet import CLASSIFICATION_LAYER, DiMPNet
from ltr.models.tracking.ostrack import EnergyOSTrack, OSTrack
from ltr.models.tracking.tracking_net import BOX_LAYERS
from ltr.ops.labels import gaussian_label
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings, Recipe

Features = dict[str, Tensor]


class Actor(BaseActor):
    """Trains the box head alone (ATOM); arguments and errors as for `BaseActor`.

    Freezes the stages of the backbone that are not used.
    """

    net: DiMPNet | AtomNet
    box: BoxSettings

    def __init__(self, net: DiMPNet | AtomNet, box: BoxSettings, precision: str = "fp32") -> None:
        super().__init__(net, box, precision)
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
        frames = {name: each.float().unflatten(0, (-1, sequences)) for name, each in extracted.items()}
        count = len(train_images)
        return (
            {name: feature[:count] for name, feature in frames.items()},
            {name: feature[count:] for name, feature in frames.items()},
        )

    def energy(self, train: Features, test: Features, train_boxes: Tensor, test_boxes: Tensor) -> BoxEnergy:
        """The energies of all test frames, the target taken from the first train frame."""
        frames = len(test_boxes)
        head = self.net.bb_regressor
        with half_precision(test_boxes.device, self.precision):
            modulation = head.get_modulation([train[name][0] for name in BOX_LAYERS], train_boxes[0])
            features = head.get_iou_feat([test[name].flatten(0, 1) for name in BOX_LAYERS])
        repeated = tuple(weights.repeat(frames, 1) for weights in modulation)
        return BoxEnergy(head, repeated, features, test_boxes.flatten(0, 1), self.precision)

    def energy_of(self, batch: Batch) -> BoxEnergy:
        """The energies of a batch's test frames (see `forward`)."""
        train, test = self.features(batch["train_images"], batch["test_images"])
        return self.energy(train, test, batch["train_boxes"], batch["test_boxes"])

    def box_loss(
        self, train: Features, test: Features, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the box head without its weight, and `box/...` statistics."""
        return self.energy_loss(self.energy(train, test, batch["train_boxes"], batch["test_boxes"]), generator)


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
        loss = clf_loss + self.box.weight * box_loss
        losses = {"loss": loss.detach(), "loss/classifier": clf_loss.detach(), "loss/box": box_loss.detach()}
        return StepOutput(loss, {**statistics, **box_statistics, **losses})

    def labels(self, boxes: Tensor, size: int) -> Tensor:
        """Label maps [n, S, F', F'] of boxes [n, S, 4] in crops of `size` pixels."""
        return gaussian_label(
            boxes,
            image_size=size,
            feature_size=size // self.net.feature_stride,
            filter_size=self.net.classifier.filter_size,
            sigma_factor=self.classifier.label_sigma_factor,
        )

    def classifier_loss(
        self, train: Features, test: Features, train_boxes: Tensor, test_boxes: Tensor, size: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of the score maps of all filter iterates (docs/reference.md, section 3); `size` is the crop's side."""
        settings = self.classifier
        maps = self.net.classifier(train[CLASSIFICATION_LAYER], test[CLASSIFICATION_LAYER], train_boxes)
        label = self.labels(test_boxes, size)
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


def make_actor(recipe: Recipe, net: nn.Module) -> BaseActor:
    """The actor of a recipe around its network.

    Args:
        net: from `recipe.network.build()`, on its device.

    Raises:
        ValueError: settings for a part that the network has not, or none for one that it has; a network of another
            kind; or settings that the actor refuses.
    """
    if not isinstance(net, DiMPNet | AtomNet | OSTrack):
        raise UserError(f"there is no actor for a {type(net).__name__}")
    for name, settings, present in (
        ("classifier", recipe.classifier, isinstance(net, DiMPNet)),
        ("box head", recipe.box, isinstance(net, DiMPNet | AtomNet | EnergyOSTrack)),
    ):
        if present and settings is None:
            raise UserError(f"recipe '{recipe.name}' has no {name} settings, but its network has a {name}")
        if settings is not None and not present:
            raise UserError(f"recipe '{recipe.name}' has {name} settings, but its network has no {name}")
    if isinstance(net, OSTrack):
        if (recipe.crop.template_size, recipe.crop.output_size) != (net.template_size, net.search_size):
            raise UserError(
                f"crops of {recipe.crop.template_size} and {recipe.crop.output_size} pixels do not fit the network's "
                f"{net.template_size} and {net.search_size}: set crop.template_size and crop.output_size"
            )
        trained = {prefix.partition(".")[0] for prefix in recipe.optimiser.learning_rates}
        trains_tracker = bool(trained & {"backbone", "box_head"})
        if not (trains_tracker or recipe.start):
            raise UserError(
                f"recipe '{recipe.name}' trains the energy of a tracker that it freezes: give the tracker's weights by "
                "--set start=FILE, such as OSTrack_ep0300.pth.tar"
            )
        return OSTrackActor(net, recipe.box, recipe.precision, trains_tracker)
    assert recipe.box is not None
    if recipe.classifier is None or isinstance(net, AtomNet):
        return Actor(net, recipe.box, recipe.precision)
    return DiMPActor(net, recipe.box, recipe.classifier, recipe.precision)
