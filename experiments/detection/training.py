"""Training one energy head on frozen features, by any method; resumable at any iteration, bit for bit on a CPU."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from experiments.common import plain, refuse_other, step_order
from experiments.detection.coco_files import AnnotatedImage
from experiments.detection.detector import FrozenDetector, batches, to_device
from experiments.detection.head import EnergyHead, FeaturePyramid, box_energy, initialise_from, load_head, save_head
from experiments.detection.settings import METHODS, DetectionSettings, TrainingSettings, create
from ltr.admin.checkpoint import load_training_state, save_training_state
from ltr.ebm.methods import Method, MethodOutput
from ltr.errors import UserError
from ltr.ops.boxes import from_relative, to_relative
from ltr.trainers.checkpoints import NonFiniteLossError
from ltr.trainers.log import RunLog, environment

HEAD_FILE, STATE_FILE = "head.safetensors", "state.pt"


@dataclass(frozen=True)
class TrainingPlace:
    """Where a head is trained, and from what.

    Attributes:
        folder: Folder of its files.
        cache: Folder of the features; None keeps none.
        device: Device of the head and the features.
        workers: Number of processes that read images.
    """

    folder: Path
    cache: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 0


def rate_at(step: int, settings: TrainingSettings) -> float:
    """Learning rate of a step, counted from 0."""
    return settings.learning_rate * settings.decay ** sum(step >= mark for mark in settings.decay_at)


def chosen_boxes(image: AnnotatedImage, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Boxes [N, 4] and classes [N] of an image that a step trains on; all of them where `most` is 0."""
    if not most or len(image.boxes) <= most:
        return image.boxes, image.classes
    rows = torch.randperm(len(image.boxes), generator=generator)[:most]
    return image.boxes[rows], image.classes[rows]


def batch_loss(
    method: Method,
    head: EnergyHead,
    pyramids: Sequence[FeaturePyramid],
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    generator: torch.Generator | None = None,
) -> MethodOutput:
    """Loss of every annotated box of a batch of images, in the box's own relative space.

    Args:
        pyramids: features of the images, on the head's device.
        boxes: [N, 4] (x, y, w, h) in image pixels of each image.
        classes: [N] COCO category ids of each image.
        generator: on the head's device.
    """
    device = head.energy.weight.device
    annotated = torch.cat(list(boxes)).to(device)
    unit = annotated[:, 2:]
    energy = box_energy(head, pyramids, [len(each) for each in boxes], torch.cat(list(classes)))

    def relative_energy(points: Tensor) -> Tensor:
        return energy(from_relative(points, unit[:, None]))

    return method.loss(relative_energy, to_relative(annotated, unit), generator)


def new_head(
    detector: FrozenDetector, categories: Sequence[int], settings: DetectionSettings, seed: int, device: torch.device
) -> EnergyHead:
    """A head of seed `seed`, its first two layers the detector's own where it has them."""
    torch.manual_seed(seed)
    head = EnergyHead(detector.channels, categories, settings.head)
    initialise_from(head, detector.box_head_layers())
    return head.to(device)


def train_head(
    name: str,
    seed: int,
    detector: FrozenDetector,
    images: Sequence[AnnotatedImage],
    categories: Sequence[int],
    settings: DetectionSettings,
    place: TrainingPlace,
    stop_after: int | None = None,
) -> EnergyHead | None:
    """Train a head, or go on where it was stopped, or read the one that is there.

    Args:
        name: key of `METHODS`.
        images: those without an annotated box are left out.
        categories: COCO category ids that the head has outputs for.
        stop_after: iterations after which this call writes its state and stops; None trains to the end.

    Returns:
        The head, frozen and in eval mode on the CPU; None where it was stopped before its end.

    Raises:
        NonFiniteLossError: the loss or its gradient is not finite; names method and iteration.
        ValueError: the folder holds a head of other settings.
    """
    path = place.folder / HEAD_FILE
    training = settings.training
    # All that decides a head's weights besides the data.
    parts = {key: asdict(getattr(settings, key)) for key in ("detector", "head", "noise", "training")}
    asked: dict[str, Any] = plain({"method": name, "seed": seed, **parts})
    if path.is_file():
        head, card = load_head(path)
        refuse_other(path, card["asked"], asked)
        return head
    images = [image for image in images if len(image.boxes)]
    if not images:
        raise UserError("no image has an annotated box to train on")
    head = new_head(detector, categories, settings, seed, place.device)
    optimiser = _optimiser(head, training)
    done, spent = _resume(place.folder, head, optimiser, asked)
    order = [rows.tolist() for rows in step_order(len(images), training.batch_size, training.iterations, seed)]
    last = len(order) if stop_after is None else min(stop_after, len(order))
    log = RunLog(place.folder, done)
    source = batches(detector, images, order[done:last], cache=place.cache, workers=place.workers)
    method = create(name, settings.noise)
    # Of a CPU the time that this process had, since others may share it.
    clock = time.process_time if place.device.type == "cpu" else time.perf_counter
    bar = tqdm(source, desc=f"{METHODS[name].label} seed {seed}", initial=done, total=len(order), unit="it")
    for step, (batch, pyramids) in enumerate(bar, start=done):
        pyramids = [to_device(pyramid, place.device) for pyramid in pyramids]
        began = clock()
        # A step can be repeated without those before it.
        draws = seed * 1_000_003 + step
        output = _train_step(method, head, optimiser, batch, pyramids, training, draws, rate_at(step, training))
        loss = float(output.loss.detach().mean())
        spent += clock() - began
        if not math.isfinite(loss) or not math.isfinite(float(output.statistics["head_gradient"])):
            raise NonFiniteLossError(f"{METHODS[name].label}, seed {seed}: loss {loss:.4g} at iteration {step}")
        if (step + 1) % training.log_every == 0 or step + 1 == len(order):
            record = {"loss": loss, "rate": rate_at(step, training), "seconds": round(spent, 3)}
            log.write("train", step + 1, {**record, **{k: float(v) for k, v in output.statistics.items()}})
            bar.set_postfix(loss=f"{loss:.3g}")
        if (step + 1) % training.checkpoint_every == 0 or step + 1 == last:
            state = {"head": head.state_dict(), "optimiser": optimiser.state_dict(), "done": step + 1, "spent": spent}
            save_training_state(place.folder / STATE_FILE, {**state, "asked": json.dumps(asked)})
    log.close()
    if last < len(order):
        return None
    save_head(path, head, {"asked": asked, "seconds_per_iteration": spent / len(order), "environment": environment()})
    (place.folder / STATE_FILE).unlink(missing_ok=True)
    return load_head(path)[0]


def _train_step(
    method: Method,
    head: EnergyHead,
    optimiser: torch.optim.Optimizer,
    batch: Sequence[AnnotatedImage],
    pyramids: Sequence[FeaturePyramid],
    settings: TrainingSettings,
    seed: int,
    rate: float,
) -> MethodOutput:
    chooser = torch.Generator().manual_seed(seed)
    boxes, classes = zip(*(chosen_boxes(image, settings.boxes_per_image, chooser) for image in batch))
    generator = torch.Generator(head.energy.weight.device).manual_seed(seed)
    output = batch_loss(method, head, pyramids, boxes, classes, generator)
    optimiser.zero_grad(set_to_none=True)
    output.loss.mean().backward()
    norm = nn.utils.clip_grad_norm_(head.parameters(), settings.max_gradient_norm or math.inf)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    return MethodOutput(output.loss, {**output.statistics, "head_gradient": norm.detach()})


def _optimiser(head: EnergyHead, settings: TrainingSettings) -> torch.optim.Optimizer:
    if settings.optimiser == "adam":
        return torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        head.parameters(), lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def _resume(
    folder: Path, head: EnergyHead, optimiser: torch.optim.Optimizer, asked: dict[str, Any]
) -> tuple[int, float]:
    """Load the stored state, if there is one: iterations done, and the seconds they took."""
    path = folder / STATE_FILE
    if not path.is_file():
        return 0, 0.0
    state = load_training_state(path)
    refuse_other(path, json.loads(state["asked"]), asked)
    head.load_state_dict(state["head"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["done"]), float(state["spent"])
