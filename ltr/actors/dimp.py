"""One batch -> loss and statistics, for DiMP networks whose box head is an energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltr.ebm.methods import create_method
from ltr.ebm.objectives import lb_hinge
from ltr.models.bbreg.box_head import BoxHead, Modulation
from ltr.models.tracking.dimpnet import CLASSIFICATION_LAYER, DiMPNet
from ltr.models.tracking.tracking_net import BOX_LAYERS
from ltr.ops.boxes import from_relative, to_relative
from ltr.ops.labels import gaussian_label
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings

Batch = dict[str, Any]


@dataclass(frozen=True)
class StepOutput:
    """A step's loss (a scalar with its graph) and its statistics (detached scalars by name)."""

    loss: Tensor
    statistics: dict[str, Tensor]


def _precision(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


class BoxEnergy:
    """The energy f(x, y) of test images as a function of y in the space of the densities (paper, section 3).

    y = [cx / sw, cy / sh, log w, log h] with (sw, sh) the annotated size, so that every density is in parts of the box.

    Args:
        head: the box head.
        modulation, features: of N test images, from the box head.
        annotation: [N, 4] (x, y, w, h) in crop pixels.
        precision: 'fp32' or 'bf16' for the head's arithmetic; scores are float32.
    """

    def __init__(
        self, head: BoxHead, modulation: Modulation, features: Modulation, annotation: Tensor, precision: str = "fp32"
    ) -> None:
        self.head = head
        self.precision = precision
        with _precision(annotation.device, precision):
            self.features = head.modulate(modulation, features)
        self.size = annotation[:, 2:]
        self.annotation = to_relative(annotation, self.size)

    def __call__(self, points: Tensor) -> Tensor:
        """Scores [N, M] of points [N, M, 4]."""
        return self.score_boxes(from_relative(points, self.size.unsqueeze(1)))

    def score_boxes(self, boxes: Tensor) -> Tensor:
        """Scores [N, M] of boxes [N, M, 4] (x, y, w, h) in crop pixels."""
        with _precision(boxes.device, self.precision):
            return self.head.score(self.features, boxes).float()


class DiMPActor:
    """Computes the training loss of a DiMP network: classifier hinge loss plus the box head's objective.

    Args:
        net: on its device, in the mode wanted.
        box, classifier: the recipe's settings.
        precision: 'fp32' or 'bf16', of the backbone and the box head.
        generator: noise of the box samples, on the network's device.
    """

    def __init__(
        self,
        net: DiMPNet,
        box: BoxSettings,
        classifier: ClassifierSettings,
        precision: str = "fp32",
        generator: torch.Generator | None = None,
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be 'fp32' or 'bf16', not '{precision}'")
        self.net = net
        self.box = box
        self.classifier = classifier
        self.precision = precision
        self.generator = generator
        self.method = create_method(box.objective, **box.arguments)

    def __call__(self, batch: Batch) -> StepOutput:
        """Loss of a batch.

        Args:
            batch: `train_images`, `test_images` [n, S, 3, H, W] uint8 RGB; `train_boxes`, `test_boxes` [n, S, 4]
                (x, y, w, h) in crop pixels; all on the network's device.
        """
        train, test = self.features(batch["train_images"], batch["test_images"])
        size = batch["test_images"].shape[-1]
        clf_loss, statistics = self.classifier_loss(train, test, batch["train_boxes"], batch["test_boxes"], size)
        box_loss, box_statistics = self.box_loss(train, test, batch["train_boxes"], batch["test_boxes"])
        statistics.update({f"box/{name}": value for name, value in box_statistics.items()})
        loss = clf_loss + self.box.weight * box_loss
        statistics.update({"loss": loss.detach(), "loss/classifier": clf_loss.detach(), "loss/box": box_loss.detach()})
        return StepOutput(loss, statistics)

    def features(self, train_images: Tensor, test_images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Backbone features of train and test frames, [n, S, C, h, w] by layer, in one pass."""
        sequences = train_images.shape[1]
        images = torch.cat((train_images.flatten(0, 1), test_images.flatten(0, 1)))
        with _precision(images.device, self.precision):
            inputs = self.net.normalise(images).contiguous(memory_format=torch.channels_last)
            extracted = self.net.extract_backbone_features(inputs)
        count = len(train_images) * sequences
        train: dict[str, Tensor] = {}
        test: dict[str, Tensor] = {}
        for name, feature in extracted.items():
            full = feature.float()
            train[name] = full[:count].unflatten(0, (-1, sequences))
            test[name] = full[count:].unflatten(0, (-1, sequences))
        return train, test

    def classifier_loss(
        self, train: dict[str, Tensor], test: dict[str, Tensor], train_boxes: Tensor, test_boxes: Tensor, size: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Hinge losses of the score maps of all filter iterates (SPEC section 3); `size` is the crop's side."""
        settings = self.classifier
        maps = self.net.classifier(train[CLASSIFICATION_LAYER], test[CLASSIFICATION_LAYER], train_boxes)
        label = gaussian_label(
            test_boxes,
            image_size=size,
            feature_size=size // self.net.feature_stride,
            filter_size=self.net.classifier.filter_size,
            sigma_factor=settings.label_sigma_factor,
        )
        losses = [lb_hinge(scores, label, settings.hinge_threshold).mean() for scores in maps]
        loss = settings.final_weight * losses[-1] + settings.initial_weight * losses[0]
        if len(losses) > 2:
            loss = loss + settings.iteration_weight * torch.stack(losses[1:-1]).mean()
        with torch.no_grad():
            peaks = maps[-1].flatten(-2).argmax(-1)
            hits = label.flatten(-2).gather(-1, peaks.unsqueeze(-1)) > 0.5
            statistics = {
                "classifier/initial": losses[0].detach(),
                "classifier/final": losses[-1].detach(),
                "classifier/peak_hits": hits.float().mean(),
            }
        return loss, statistics

    def energy(
        self, train: dict[str, Tensor], test: dict[str, Tensor], train_boxes: Tensor, test_boxes: Tensor
    ) -> BoxEnergy:
        """The energies of all test frames, the target taken from the first train frame."""
        frames = len(test_boxes)
        head = self.net.bb_regressor
        with _precision(test_boxes.device, self.precision):
            modulation = head.get_modulation([train[name][0] for name in BOX_LAYERS], train_boxes[0])
            features = head.get_iou_feat([test[name].flatten(0, 1) for name in BOX_LAYERS])
        repeated = (modulation[0].repeat(frames, 1), modulation[1].repeat(frames, 1))
        return BoxEnergy(head, repeated, features, test_boxes.flatten(0, 1), self.precision)

    def energy_of(self, batch: Batch) -> BoxEnergy:
        """The energies of a batch's test frames (see `__call__`)."""
        train, test = self.features(batch["train_images"], batch["test_images"])
        return self.energy(train, test, batch["train_boxes"], batch["test_boxes"])

    def box_loss(
        self, train: dict[str, Tensor], test: dict[str, Tensor], train_boxes: Tensor, test_boxes: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective of the box head: samples and their log densities are drawn here, on the device."""
        energy = self.energy(train, test, train_boxes, test_boxes)
        output = self.method.loss(energy, energy.annotation, generator=self.generator)
        return output.loss.mean(), output.statistics
