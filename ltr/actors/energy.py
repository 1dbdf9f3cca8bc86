"""The box head as an energy over the space in which objectives draw their samples."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.models.bbreg.box_head import BoxHead, Modulation
from ltr.ops.boxes import from_relative, to_relative

# What the backbone and the box head may compute in.
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def half_precision(device: torch.device, precision: str) -> torch.autocast:
    """Autocast to the type of `precision`, a name of `PRECISIONS`; nothing where it is 'fp32'."""
    half = precision != "fp32"
    return torch.autocast(device.type, dtype=PRECISIONS[precision] if half else None, enabled=half)


class BoxEnergy:
    """The energy f(x, y) of test images as a function of y in the space of the densities (paper, section 3).

    y = [cx / sw, cy / sh, log w, log h] with (sw, sh) the annotated size, so that every density is in parts of the box.

    Args:
        head: the box head.
        modulation, features: of N test images, from the box head.
        annotation: [N, 4] (x, y, w, h) in crop pixels.
        precision: a name of `PRECISIONS`, for the head's arithmetic; scores are float32.
    """

    def __init__(
        self, head: BoxHead, modulation: Modulation, features: Modulation, annotation: Tensor, precision: str = "fp32"
    ) -> None:
        self.head = head
        self.precision = precision
        with half_precision(annotation.device, precision):
            self.features = head.modulate(modulation, features)
        self.size = annotation[:, 2:]
        self.annotation = to_relative(annotation, self.size)

    def __call__(self, points: Tensor) -> Tensor:
        """Scores [N, M] of points [N, M, 4]."""
        return self.score_boxes(from_relative(points, self.size.unsqueeze(1)))

    def score_boxes(self, boxes: Tensor) -> Tensor:
        """Scores [N, M] of boxes [N, M, 4] (x, y, w, h) in crop pixels."""
        with half_precision(boxes.device, self.precision):
            return self.head.score(self.features, boxes).float()
