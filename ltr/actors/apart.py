"""Batch norm over boxes, where a training method follows the gradient of the energy in the box."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ltr.actors.energy import BoxEnergy
from ltr.ebm.noise import GaussianMixture
from ltr.models.bbreg.box_head import BoxHead

# The trackers' noise (docs/reference.md, section 1), from which running statistics are taken.
_NOISE = ((0.05, 0.05), (0.5, 0.5))
_SAMPLES = 32
_FIRST_PASSES = 10


@contextmanager
def boxes_apart(head: BoxHead, energy: BoxEnergy, generator: torch.Generator | None = None) -> Iterator[None]:
    """For the length of a block, no box's score depends on the other boxes that are scored with it.

    In training the head's two blocks over boxes normalise by the statistics of all boxes of the step. The gradient of
    the sum of scores, which ML-MCMC, SM and DSM follow, is then not the gradient of each score, and nearly cancels: DSM
    learns nothing. Within the block they normalise by running statistics, which are brought up to date before, on boxes
    around the annotations. Batch norm over images has no part in this. Where the blocks keep their statistics anyway
    (eval mode), nothing is done.

    Args:
        energy: of the step's images, of that head.
        generator: of the boxes, on their device.
    """
    layers = [block.bn for block in (head.fc3_rt, head.fc4_rt) if block.bn.training]
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
