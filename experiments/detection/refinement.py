"""Boxes of detections moved up the energy; their classes and scores stay (docs/reference.md, section 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from experiments.detection.coco_files import Detections, Instances, mean_overlap
from experiments.detection.detector import FrozenDetector, batches, to_device
from experiments.detection.head import EnergyHead, box_energy
from experiments.detection.settings import RefinementSettings
from ltr.ebm.ascent import gradient_ascent

_IMAGES = 8


def refine(
    head: EnergyHead,
    detector: FrozenDetector,
    instances: Instances,
    detections: Mapping[int, Detections],
    step: tuple[float, float],
    settings: RefinementSettings,
    *,
    cache: Path | None = None,
    workers: int = 0,
) -> dict[int, Detections]:
    """Detections with refined boxes, by image id, in the order they came.

    Gradient ascent in relative space, each box in units of its own start, with a step control of its own.

    Args:
        head: on the device where all is computed.
        detections: by image id; those of images that `instances` lacks are left out.
        step: (centre, size) of the ascent.
    """
    device = head.energy.weight.device
    refined = {
        identity: detections[identity] for identity in (i.identity for i in instances.images) if identity in detections
    }
    images = [
        image
        for image in instances.images
        if image.identity in refined and bool((refined[image.identity].scores >= settings.below).any())
    ]
    order = [list(range(k, min(k + _IMAGES, len(images)))) for k in range(0, len(images), _IMAGES)]
    for batch, pyramids in batches(detector, images, order, cache=cache, workers=workers):
        found = [refined[image.identity] for image in batch]
        chosen = [each.scores >= settings.below for each in found]
        counts = [int(rows.sum()) for rows in chosen]
        classes = torch.cat([each.classes[rows] for each, rows in zip(found, chosen)])
        starts = torch.cat([each.boxes[rows] for each, rows in zip(found, chosen)]).to(device)
        energy = box_energy(head, [to_device(pyramid, device) for pyramid in pyramids], counts, classes)
        moved, _ = gradient_ascent(
            energy,
            starts[:, None],
            steps=settings.steps,
            step_length=step,
            per_box_step_control=True,
            step_factor=settings.step_factor,
        )
        for image, each, rows, boxes in zip(batch, found, chosen, moved[:, 0].cpu().split(counts)):
            after = each.boxes.clone()
            after[rows] = boxes
            refined[image.identity] = Detections(after, each.scores, each.classes)
    return refined


def choose_step(
    refined_by: Callable[[tuple[float, float]], dict[int, Detections]],
    instances: Instances,
    detections: Mapping[int, Detections],
    step: tuple[float, float],
    factors: Sequence[float],
) -> tuple[tuple[float, float], dict[float, float]]:
    """The multiple of a method's step that gives refined boxes the highest mean IoU on the tuning images.

    Args:
        refined_by: refines the detections with a step, as `refine` does.

    Returns:
        The step, and factor -> mean IoU.
    """
    overlaps = {
        factor: mean_overlap(instances, detections, refined_by((factor * step[0], factor * step[1])))
        for factor in factors
    }
    best = max(overlaps, key=lambda factor: overlaps[factor])
    return (best * step[0], best * step[1]), overlaps
