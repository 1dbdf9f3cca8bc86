"""What a trained head is worth on crops that it has not seen: IoU after refinement, and its likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from experiments.training_methods.features import CachedCrops
from experiments.training_methods.settings import COARSE_STEPS, SIZE_FACTORS
from ltr.actors.energy import BoxEnergy
from ltr.ebm.noise import GaussianMixture
from ltr.ebm.objectives import log_partition
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.tracking.tracking_net import BOX_LAYERS
from ltr.ops.boxes import iou
from ltr.train_settings.recipe import Refinement
from ltr.trainers.validation import jittered_boxes, refine

BATCH = 20
_STARTS_SEED = 5
_SAMPLES_SEED = 6
_NOISE = ((0.05, 0.05), (0.5, 0.5))

# Settings of the ascent as the tracker has them but for the step.
Step = tuple[float, float]


def with_step(step: Step) -> Refinement:
    """The tracker's refinement with (step of the centre, step of the size)."""
    return replace(Refinement(), step_length=step)


def coarse_grid() -> list[Step]:
    """Steps that are tried first, over all scales that an energy may have."""
    return [(centre, SIZE_FACTORS[-1] * centre) for centre in COARSE_STEPS]


def fine_grid(best: Step) -> list[Step]:
    """Neighbours of the best coarse step, itself included."""
    return [(factor * best[0], ratio * factor * best[0]) for factor in (0.5, 1.0, 2.0) for ratio in SIZE_FACTORS]


def energy_of(head: BoxHead, crops: CachedCrops) -> BoxEnergy:
    """The energies of all test frames of crops on the head's device, in float32."""
    train, test = crops.features["train"], crops.features["test"]
    frames = len(crops.boxes["test"])
    modulation = head.get_modulation([train[name][0] for name in BOX_LAYERS], crops.boxes["train"][0])
    features = head.get_iou_feat([test[name].flatten(0, 1) for name in BOX_LAYERS])
    repeated = (modulation[0].repeat(frames, 1), modulation[1].repeat(frames, 1))
    return BoxEnergy(head, repeated, features, crops.boxes["test"].flatten(0, 1))


@torch.no_grad()
def refined_ious(head: BoxHead, crops: CachedCrops, steps: Sequence[Step], device: torch.device) -> dict[str, Tensor]:
    """IoU of refined boxes with the annotation; every step climbs from the same starts, those of every head.

    Args:
        head: in eval mode, on the device.
        steps: steps of the ascent to compare.

    Returns:
        'start': [S, n] mean IoU of the jittered boxes; 'refined': [steps, S, n], 0 where a box is no longer finite.
    """
    generator = torch.Generator().manual_seed(_STARTS_SEED)
    before: list[Tensor] = []
    after: list[list[Tensor]] = [[] for _ in steps]
    for part in crops.batches(BATCH):
        moved = part.to(device)
        energy = energy_of(head, moved)
        frames = len(part.boxes["test"])
        boxes = moved.boxes["test"].flatten(0, 1)
        starts = jittered_boxes(boxes.cpu(), Refinement(), generator).to(device)
        before.append(iou(starts, boxes.unsqueeze(1)).mean(1).reshape(frames, -1).T.cpu())
        for found, step in zip(after, steps):
            refined = iou(refine(energy, starts, with_step(step)), boxes)
            found.append(torch.nan_to_num(refined, nan=0.0).reshape(frames, -1).T.cpu())
    return {"start": torch.cat(before), "refined": torch.stack([torch.cat(found) for found in after])}


@torch.no_grad()
def negative_log_likelihood(head: BoxHead, crops: CachedCrops, samples: int, device: torch.device) -> Tensor:
    """-log p(annotation | image) [S, n] in nats, in relative space, by importance sampling from the trackers' noise.

    Only what lies within the noise's reach enters the partition function.
    """
    noise = GaussianMixture.from_centre_size(_NOISE)
    generator = torch.Generator().manual_seed(_SAMPLES_SEED)
    found: list[Tensor] = []
    for part in crops.batches(BATCH):
        energy = energy_of(head, part.to(device))
        frames = len(part.boxes["test"])
        offsets = noise.sample((len(energy.annotation), samples), generator)
        log_noise = noise.log_prob(offsets).to(device)
        scores = energy(energy.annotation.unsqueeze(1) + offsets.to(device))
        annotated = energy(energy.annotation.unsqueeze(1)).squeeze(1)
        found.append((log_partition(scores, log_noise) - annotated).reshape(frames, -1).T.cpu())
    return torch.cat(found)


def summary(ious: Tensor) -> dict[str, float]:
    """Mean IoU and the shares of frames above 0.5 and 0.75, in per cent."""
    flat = ious.flatten()
    return {
        "iou": 100 * float(flat.mean()),
        "over_50": 100 * float((flat > 0.5).float().mean()),
        "over_75": 100 * float((flat > 0.75).float().mean()),
    }


def by_source(values: Tensor, sources: Sequence[str]) -> dict[str, float]:
    """Mean over the frames of every sequence. values: [S, n]."""
    rows: dict[str, list[float]] = {}
    for source, value in zip(sources, values.mean(1).tolist()):
        rows.setdefault(source, []).append(value)
    return {source: sum(found) / len(found) for source, found in rows.items()}


def best_step(table: dict[Step, list[float]]) -> tuple[Step, float]:
    """The step of the highest mean over heads; the shorter of equals. A value that is not a number counts as 0."""

    def mean(step: Step) -> float:
        values = [0.0 if math.isnan(value) else value for value in table[step]]
        return sum(values) / len(values)

    best = max(table, key=lambda step: (mean(step), -step[0]))
    return best, mean(best)


def evaluate(
    head: BoxHead, crops: CachedCrops, step: Step, nll_samples: int | None, device: torch.device
) -> dict[str, Any]:
    """All metrics of a head on the test crops, with those of every sequence for paired comparisons.

    Args:
        nll_samples: number of samples of the partition function's estimate; None for a head that is no energy.
    """
    ious = refined_ious(head, crops, [step], device)
    result: dict[str, Any] = {
        "step_length": list(step),
        "start": summary(ious["start"]),
        **summary(ious["refined"][0]),
        "by_source": by_source(ious["refined"][0], crops.sources),
    }
    if nll_samples is not None:
        likelihood = negative_log_likelihood(head, crops, nll_samples, device)
        result["nll"] = float(likelihood.mean())
        result["nll_by_source"] = by_source(likelihood, crops.sources)
    return result
