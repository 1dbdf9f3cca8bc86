"""One batch -> loss and statistics for OSTrack: of the tracker, of the energy on its tokens, or of both."""

from __future__ import annotations

import torch

from ltr.actors.base import BaseActor, Batch, StepOutput
from ltr.actors.energy import BoxEnergy, half_precision
from ltr.actors.ostrack_losses import ostrack_losses
from ltr.models.tracking.ostrack import EnergyOSTrack, OSTrack, OSTrackOutput, keep_ratio
from ltr.train_settings.recipe import BoxSettings


class OSTrackActor(BaseActor):
    """Trains OSTrack; arguments as for `BaseActor`.

    Args:
        trains_tracker: whether backbone and centre head learn; otherwise they are run without gradients.
    """

    net: OSTrack

    def __init__(
        self, net: OSTrack, box: BoxSettings | None, precision: str = "fp32", trains_tracker: bool = True
    ) -> None:
        super().__init__(net, box, precision)
        self.trains_tracker = trains_tracker
        self._keep: float | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Keep as many candidates as the epoch wants, where the tracker learns; a frozen one keeps its own ratio."""
        self._keep = keep_ratio(epoch, warm_up=self.net.elimination_warm_up) if self.trains_tracker else None

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> StepOutput:
        """Loss of a batch.

        Args:
            batch: `train_images` [1, S, 3, Z, Z] and `test_images` [n, S, 3, S, S] uint8 RGB; `train_boxes`,
                `test_boxes` [., S, 4] (x, y, w, h) in crop pixels; `test_labels` [n, S, 4] likewise by the rule of the
                centre head; all on the network's device.
            generator: generator of the box samples, on the same device.
        """
        output = self.locate(batch)
        size = batch["test_images"].shape[-1]
        centre_loss, parts = ostrack_losses(output.maps, batch["test_labels"].flatten(0, 1) / size)
        statistics = {f"centre/{name}": value for name, value in parts.items()}
        loss = centre_loss if self.trains_tracker else torch.zeros_like(centre_loss)
        statistics["loss/centre"] = centre_loss.detach()
        if self.box is not None:
            box_loss, box_statistics = self.energy_loss(self.energy(output, batch), generator)
            loss = loss + self.box.weight * box_loss
            statistics |= {**box_statistics, "loss/box": box_loss.detach()}
        return StepOutput(loss, {**statistics, "loss": loss.detach()})

    def locate(self, batch: Batch) -> OSTrackOutput:
        """The tracker's output for all test frames, n S images."""
        net, frames = self.net, len(batch["test_images"])
        learns = self.trains_tracker and torch.is_grad_enabled()
        with torch.set_grad_enabled(learns), half_precision(batch["test_images"].device, self.precision):
            template = net.normalise(batch["train_images"][0]).repeat(frames, 1, 1, 1)
            search = net.normalise(batch["test_images"].flatten(0, 1))
            rows = net.centre_token if net.backbone.eliminates else None
            features = net.backbone(template, search, rows, self._keep)
        # The head's sigmoid and what follows are too coarse in half precision.
        with torch.set_grad_enabled(learns):
            template_map, search_map = features.template.float(), features.search.float()
            return net.answer(features._replace(template=template_map, search=search_map))

    def energy(self, output: OSTrackOutput, batch: Batch) -> BoxEnergy:
        """The energies of the test frames."""
        assert isinstance(self.net, EnergyOSTrack)
        head, frames = self.net.bb_regressor, len(batch["test_images"])
        with half_precision(batch["test_images"].device, self.precision):
            modulation = head.get_modulation([output.features.template], batch["train_boxes"][0].repeat(frames, 1))
            features = head.get_iou_feat([output.features.search])
        return BoxEnergy(head, modulation, features, batch["test_boxes"].flatten(0, 1), self.precision)

    def energy_of(self, batch: Batch) -> BoxEnergy:
        """See `BaseActor`."""
        return self.energy(self.locate(batch), batch)
