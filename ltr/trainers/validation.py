"""What a run is judged by between epochs: losses and refined IoU on held-out crops, and a few tracked sequences."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ltr.actors.base import BaseActor, Batch
from ltr.actors.energy import BoxEnergy
from ltr.admin.checkpoint import save_network
from ltr.data.loader import EpochLoader, to_device
from ltr.errors import UserError
from ltr.ops.boxes import iou
from ltr.train_settings.recipe import Recipe, Refinement
from ltr.trainers.processes import sum_of
from ltr.trainers.run import PrepareTracking, Track, Training, seeded_generator

if TYPE_CHECKING:
    from accelerate import Accelerator


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
    refined, scores = energy.ascend(
        starts,
        space=refinement.space,
        steps=refinement.steps,
        step_length=refinement.step_length,
        decay=refinement.decay,
        per_box_step_control=refinement.step_control,
    )
    best = scores.topk(refinement.top_k, dim=1).indices
    return refined.gather(1, best.unsqueeze(-1).expand(-1, -1, 4)).mean(dim=1)


@torch.no_grad()
def validate(
    actor: BaseActor,
    loader: EpochLoader,
    refinement: Refinement,
    seed: int,
    device: torch.device,
    accelerator: Accelerator | None = None,
) -> dict[str, float]:
    """Means over the validation batches: every statistic of the actor; of an energy also `iou/start`, `iou/refined`.

    The network is put into eval mode and back. Batch n draws its boxes from a generator seeded by (seed, n), so that
    epochs compare, and several processes, which share the batches, find the same.

    Args:
        seed: the recipe's, plus one, so that no training step draws the same.
        accelerator: accelerator of the processes that share the batches; None for this one alone.

    Raises:
        ValueError: fewer batches than processes.
    """
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    own = range(loader.batches.total)[rank::world]
    if loader.batches.total < world:
        raise UserError(f"{world} processes cannot share {loader.batches.total} validation batches")
    loader.set_epoch(0, own)
    modes = {module: module.training for module in actor.modules()}
    actor.eval()
    sums: dict[str, float] = {}
    try:
        for number, batch in zip(own, loader):
            moved = to_device(batch, device)
            for name, value in _metrics(actor, moved, refinement, seeded_generator(seed, 0, number, device)).items():
                sums[name] = sums.get(name, 0.0) + float(value)
    finally:
        for module, mode in modes.items():
            module.training = mode
    totals = sum_of(accelerator, sums, device) if accelerator else sums
    return {name: total / loader.batches.total for name, total in totals.items()}


def _metrics(actor: BaseActor, batch: Batch, refinement: Refinement, generator: torch.Generator) -> dict[str, Tensor]:
    values = dict(actor(batch, generator).statistics)
    if actor.box is None:
        return values
    energy = actor.energy_of(batch)
    boxes = batch["test_boxes"].flatten(0, 1)
    start = jittered_boxes(boxes, refinement, generator)
    values["iou/start"] = iou(start, boxes.unsqueeze(1)).mean()
    values["iou/refined"] = iou(refine(energy, start, refinement), boxes).mean()
    return values


def find_tracking(recipe: Recipe, prepare: PrepareTracking | None) -> Track | None:
    """How to track for validation; None where the recipe does not ask for it.

    Args:
        prepare: checks a recipe's `TrackingValidation` and returns how to track, such as
            `pytracking.evaluation.training_validation.prepare`; `ltr` itself cannot track.

    Raises:
        ValueError: the recipe asks for tracking and `prepare` is None, it names a tracker, data set or sequence that
            there is not, or it keeps the best network by a tracking metric but never tracks.
    """
    settings = recipe.tracking
    if not settings.interval:
        if recipe.best_metric.startswith("tracking/"):
            raise UserError(f"best_metric={recipe.best_metric} needs tracking.interval, which is 0")
        return None
    if prepare is None:
        raise UserError(
            f"tracking.interval={settings.interval} needs a way to track: pass prepare_tracking to train(), such as "
            "pytracking.evaluation.training_validation.prepare"
        )
    return prepare(dataclasses.replace(settings, parameter=settings.parameter or recipe.name))


def tracked(training: Training) -> dict[str, float]:
    """Metrics of the tracked sequences. A tracker that fails is reported, and training goes on."""
    assert training.track is not None
    network = training.folder / "tracking" / "network.safetensors"
    recipe = training.recipe
    save_network(network, training.judged.net, recipe.network, tracking=recipe.tracking_settings())
    try:
        metrics = training.track(network, network.parent)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"tracking for validation failed, training goes on: {error}", file=sys.stderr)
        return {}
    return {f"tracking/{name}": value for name, value in metrics.items()}
