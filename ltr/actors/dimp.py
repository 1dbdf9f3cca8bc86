"""One batch -> loss and statistics, for DiMP networks: the target classifier's loss and the box head's."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.actors.base import Actor, Batch, Features, StepOutput
from ltr.ebm.objectives import kl_grid, lb_hinge
from ltr.errors import UserError
from ltr.models.tracking.dimpnet import CLASSIFICATION_LAYER, DiMPNet
from ltr.ops.labels import gaussian_label
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings


class DiMPActor(Actor):
    """Trains a DiMP network; arguments as for `Actor`.

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
            # would lower the loss for ever.
            density = label / label.sum((-2, -1), keepdim=True).clamp(min=torch.finfo(label.dtype).tiny)
            losses = [kl_grid(scores, density).mean() for scores in maps]
        else:
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
