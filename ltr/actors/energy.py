"""The box head as an energy over the space in which objectives draw their samples, and its batch norm over boxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ltr.ebm.noise import GaussianMixture
from ltr.models.bbreg.box_head import BoxHead, Modulation
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.ops.boxes import from_relative, to_relative

# What the backbone and the box head may compute in.
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# The trackers' noise (docs/reference.md, section 1), from which running statistics are taken.
_NOISE = ((0.05, 0.05), (0.5, 0.5))
_SAMPLES = 32
_FIRST_PASSES = 10


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself: AVX512-BF16 or AMX; elsewhere they take longer."""
    # `bool`, which answers no, stands for a question that an older torch does not know.
    return any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))


def half_precision(device: torch.device, precision: str) -> torch.autocast:
    """Autocast to the type of `precision`, a name of `PRECISIONS`; nothing where it is 'fp32'."""
    half = precision != "fp32"
    return torch.autocast(device.type, dtype=PRECISIONS[precision] if half else None, enabled=half)


class BoxEnergy:
    """The energy f(x, y) of test images as a function of y in the space of the densities (paper, section 3).

    y = [cx / sw, cy / sh, log w, log h] with (sw, sh) the annotated size, so that every density is in parts of the box.

    Args:
        modulation, features: those of N test images, from the box head.
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

    def ascend(self, boxes: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """`gradient_ascent` of boxes [N, M, 4] (x, y, w, h) in crop pixels; the head in eval mode, in float32."""
        return ClosedFormHead(self.head).ascend(self.features, boxes, **options)


@contextmanager
def independent_boxes(head: BoxHead, energy: BoxEnergy, generator: torch.Generator | None = None) -> Iterator[None]:
    """For the length of a block, no box's score depends on the other boxes that are scored with it.

    In training the head's blocks over boxes normalise by the statistics of all boxes of the step. The gradient of
    the sum of scores, which ML-MCMC, SM and DSM follow, is then not the gradient of each score, and nearly cancels: DSM
    learns nothing. Within the block they normalise by running statistics, which are brought up to date before, on boxes
    around the annotations. Batch norm over images has no part in this. Where the blocks keep their statistics anyway
    (eval mode), nothing is done.

    Args:
        energy: energy of the step's images under that head.
        generator: generator of the boxes, on their device.
    """
    layers = [level.block.bn for level in head.levels if level.block.bn.training]
    if not layers:
        yield
        return
    with torch.no_grad():
        noise = GaussianMixture.from_centre_size(_NOISE).to(energy.annotation.device)
        for _ in range(1 if int(layers[0].num_batches_tracked or 0) else _FIRST_PASSES):
            offsets = noise.sample((len(energy.annotation), _SAMPLES), generator)
            energy(energy.annotation.unsqueeze(1) + offsets)
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()
