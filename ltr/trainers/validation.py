"""What a training run is judged by between epochs: losses on held-out crops, and the IoU that refinement reaches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ltr.actors.base import Actor, Batch
from ltr.actors.energy import BoxEnergy
from ltr.ebm.ascent import gradient_ascent
from ltr.ops.boxes import iou
from ltr.train_settings.recipe import Refinement


def jittered_boxes(boxes: Tensor, refinement: Refinement, generator: torch.Generator) -> Tensor:
    """Starts of the refinement. boxes: [N, 4] (x, y, w, h) -> [N, starts, 4], around one shifted start a box."""
    count, size = len(boxes), boxes[:, None, 2:]
    shape = (count, refinement.starts, 2)
    device = boxes.device
    common = torch.randn((count, 1, 2), generator=generator, device=device)
    centre = boxes[:, None, :2] + size / 2 + refinement.centre_jitter * size * common
    centre = centre + 0.5 * refinement.centre_jitter * size * torch.randn(shape, generator=generator, device=device)
    shared = torch.randn((count, 1, 2), generator=generator, device=device)
    own = 0.5 * torch.randn(shape, generator=generator, device=device)
    jittered = size * torch.exp(refinement.size_jitter * (shared + own))
    return torch.cat((centre - jittered / 2, jittered), dim=-1)


def refine(energy: BoxEnergy, starts: Tensor, refinement: Refinement) -> Tensor:
    """Boxes that the energy's ascent reaches, the mean of the best `top_k`. starts: [N, M, 4] -> [N, 4]."""
    refined, scores = gradient_ascent(
        energy.score_boxes,
        starts,
        space=refinement.space,
        steps=refinement.steps,
        step_length=refinement.step_length,
        decay=refinement.decay,
        per_box_step_control=refinement.step_control,
    )
    best = scores.topk(refinement.top_k, dim=1).indices
    return refined.gather(1, best.unsqueeze(-1).expand(-1, -1, 4)).mean(dim=1)


def validate(actor: Actor, batches: Iterable[Batch], refinement: Refinement, seed: int) -> dict[str, float]:
    """Means over the validation batches: every statistic of the actor, and `iou/start`, `iou/refined`.

    The network is put into eval mode and back. The box samples come from `seed`, so that epochs compare.
    """
    was_training = actor.net.training
    actor.net.eval()
    device = next(actor.net.parameters()).device
    samples = torch.Generator(device).manual_seed(seed)
    starts = torch.Generator(device).manual_seed(seed + 1)
    sums: dict[str, float] = {}
    count = 0
    try:
        for batch in batches:
            moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            with torch.no_grad():
                values = dict(actor(moved, samples).statistics)
            with torch.no_grad():
                energy = actor.energy_of(moved)
                boxes = moved["test_boxes"].flatten(0, 1)
                start = jittered_boxes(boxes, refinement, starts)
                after = refine(energy, start, refinement)
            values["iou/start"] = iou(start, boxes.unsqueeze(1)).mean()
            values["iou/refined"] = iou(after, boxes).mean()
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            count += 1
    finally:
        actor.net.train(was_training)
    if count == 0:
        raise ValueError("there is no validation batch: fewer validation samples than the batch size")
    return {name: total / count for name, total in sums.items()}
