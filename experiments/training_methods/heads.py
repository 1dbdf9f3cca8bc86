"""Training one box head on cached features, by any method: the study's unit of work."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from experiments.common import plain, refuse_other, step_order
from experiments.training_methods.features import CachedCrops
from experiments.training_methods.settings import METHODS, StudySettings, network_path, study_recipe
from ltr.actors.tracking import Actor, make_actor
from ltr.admin.checkpoint import card_path, load_network, read_checkpoint, save_network
from ltr.admin.inputs import read_json
from ltr.errors import UserError
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.tracking.dimpnet import DiMPNet
from ltr.ops.boxes import from_relative, to_relative
from ltr.train_settings.recipe import BoxSettings, OptimiserSettings
from ltr.trainers import optimisation
from ltr.trainers.log import environment
from pytracking.networks import network_file

SHIPPED = "dimp_nceplus_lite"
# The shipped network's step (docs/training.md), where none was chosen for a head.
_SHIPPED_STEP = (5e-4, 2e-3)
OnStep = Callable[[int, float], None]
_NOISE_SEED = 77
_SAMPLES_FIELD = {"iou": "num_proposals", "sm": None}


class DivergedError(UserError, RuntimeError):
    """A head whose loss or gradient became infinite or not a number."""


@dataclass(frozen=True)
class HeadUnit:
    """One head to train; all that decides its weights besides the crops.

    Attributes:
        name: Name of its file.
        method: Key of `METHODS`.
        arguments: Settings of the objective over those of `METHODS`.
        rate: Learning rate of Adam.
        steps: Number of training steps.
        seed: Seed for the first weights, the order of the crops and the box samples, the same for all methods.
        label_noise: Standard deviation of the error added to every annotation, in parts of the box.
    """

    name: str
    method: str
    arguments: dict[str, Any] = field(default_factory=dict)
    rate: float = 1e-3
    steps: int = 600
    seed: int = 0
    label_noise: float = 0.0


def box_settings(unit: HeadUnit, num_samples: int) -> BoxSettings:
    """The objective of a unit, with M samples unless the unit names another M."""
    method = METHODS[unit.method]
    counted = _SAMPLES_FIELD.get(method.objective, "num_samples")
    samples = {} if counted is None else {counted: num_samples}
    arguments = {**samples, **method.arguments, **unit.arguments}
    return BoxSettings(method.objective, arguments, weight=1.0)


def unit_path(folder: Path, unit: HeadUnit) -> Path:
    """The network that a unit's head is part of, `<folder>/<name>.safetensors`."""
    return folder / f"{unit.name}.safetensors"


def is_trained(folder: Path, unit: HeadUnit) -> bool:
    """Whether the unit's file is there.

    Raises:
        ValueError: a file of that name was made with other settings.
    """
    path = unit_path(folder, unit)
    if not path.is_file() or not card_path(path).is_file():
        return False
    refuse_other(path, read_json(card_path(path))["unit"], plain(asdict(unit)))
    return True


def take_over(source: Path, unit: HeadUnit, folder: Path) -> bool:
    """Write into `folder` the network in `source` that was trained as `unit` is to be, whatever its name.

    Its card keeps what it says of the training: the commit, the machine, the seconds.

    Returns:
        Whether there was one.
    """
    wanted = plain(asdict(unit))
    for path in sorted(source.glob(f"{unit.method}_*.safetensors")):
        card = read_json(card_path(path)) if card_path(path).is_file() else None
        if card and card["unit"] | {"name": unit.name} == wanted:
            constructor, net = read_checkpoint(path)
            save_network(unit_path(folder, unit), net, constructor, card | {"unit": wanted})
            return True
    return False


def new_actor(settings: StudySettings, box: BoxSettings, seed: int, device: torch.device) -> Actor:
    """The study's network with a fresh box head, and how it is trained. Everything but the head is frozen."""
    constructor, trained = read_checkpoint(network_path(settings))
    fresh = {"backbone_pretrained": False} if "backbone_pretrained" in constructor.arguments else {}
    torch.manual_seed(seed)
    net = cast(DiMPNet, constructor.build(**fresh))
    kept = {name: value for name, value in trained.state_dict().items() if not name.startswith("bb_regressor.")}
    net.load_state_dict(kept, strict=False)
    net.requires_grad_(False).eval()
    net.bb_regressor.requires_grad_(True)
    return cast(Actor, make_actor(replace(study_recipe(settings), box=box), net.to(device)))


def head_loss(
    actor: Actor, crops: CachedCrops, generator: torch.Generator, label_noise: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss (scalar) and statistics of the box head on crops on its device.

    Args:
        label_noise: [2, n, S, 4] standard normal errors of train and test annotations times their size, or None.
    """
    boxes = {f"{part}_boxes": value for part, value in crops.boxes.items()}
    if label_noise is not None:
        for name, noise in zip(boxes, label_noise):
            boxes[name] = perturbed(boxes[name], noise[: len(boxes[name])])
    return actor.box_loss(crops.features["train"], crops.features["test"], boxes, generator)


def perturbed(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Boxes [..., 4] moved by offsets [..., 4] in their own relative space: parts of the box, log size."""
    size = boxes[..., 2:]
    return from_relative(to_relative(boxes, size) + offsets, size)


def annotation_errors(crops: CachedCrops, size: float, seed: int) -> Tensor | None:
    """Errors [2, n, S, 4] of the annotations, the same every time a crop is seen; None where `size` is 0."""
    if size == 0:
        return None
    frames = max(len(boxes) for boxes in crops.boxes.values())
    generator = torch.Generator().manual_seed(_NOISE_SEED + seed)
    return size * torch.randn((2, frames, len(crops), 4), generator=generator)


def rate_factor(steps: int) -> Callable[[int], float]:
    """Learning rate over its highest as a function of the step: a linear warm-up, then a cosine to zero."""
    return optimisation.rate_factor(
        OptimiserSettings({}, schedule="cosine", warmup_steps=max(1, round(steps / 20))), 1, steps
    )


def train_head(
    unit: HeadUnit, crops: CachedCrops, settings: StudySettings, device: torch.device, on_step: OnStep | None = None
) -> tuple[DiMPNet, dict[str, Any]]:
    """Train a head from scratch.

    Args:
        on_step: called after every step with the number of steps done and the loss.

    Returns:
        The network in eval mode, on the CPU, and what happened: the mean loss and statistics of the last tenth of the
        steps, and the seconds it took.

    Raises:
        DivergedError: the loss or its gradient is not finite; names the step.
    """
    recipe = study_recipe(settings)
    actor = new_actor(settings, box_settings(unit, settings.num_samples), unit.seed, device)
    head = actor.net.bb_regressor
    head.train()
    optimiser = torch.optim.Adam(head.parameters(), lr=unit.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate_factor(unit.steps))
    generator = torch.Generator(device).manual_seed(unit.seed)
    errors = annotation_errors(crops, unit.label_noise, unit.seed)
    tail: list[dict[str, float]] = []
    began = time.perf_counter()
    order = step_order(len(crops), settings.sequences_per_step, unit.steps, unit.seed)
    for step, rows in enumerate(order):
        noise = None if errors is None else errors[:, :, rows].to(device)
        part = crops.select(rows).to(device)
        loss, statistics = head_loss(actor, part, generator, noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(head.parameters(), recipe.optimiser.max_gradient_norm or math.inf)
        if not (math.isfinite(float(loss.detach())) and math.isfinite(float(norm))):
            raise DivergedError(f"{unit.name}: loss {float(loss.detach()):.4g}, gradient {float(norm):.4g} at {step}")
        optimiser.step()
        schedule.step()
        if on_step is not None:
            on_step(step + 1, float(loss.detach()))
        if step >= unit.steps - max(1, unit.steps // 10):
            tail.append({"loss": float(loss.detach()), **{name: float(value) for name, value in statistics.items()}})
    record = {name: sum(row[name] for row in tail) / len(tail) for name in tail[0]}
    record["seconds"] = time.perf_counter() - began
    return cast(DiMPNet, actor.net.eval().cpu()), record


def save_unit(folder: Path, unit: HeadUnit, net: DiMPNet, record: dict[str, Any], settings: StudySettings) -> Path:
    """Write the network with its card; any tracker can be given the file as `net_path`."""
    constructor, _ = read_checkpoint(network_path(settings))
    path = unit_path(folder, unit)
    card = {
        "unit": asdict(unit),
        "box": asdict(box_settings(unit, settings.num_samples)),
        "training": record,
        "settings": settings.to_dict(),
        "environment": environment(),
    }
    save_network(path, net, constructor, card)
    return path


def load_head(path: Path) -> BoxHead:
    """The box head of a unit's file, in eval mode."""
    return cast(BoxHead, load_network(path).bb_regressor)


@dataclass(frozen=True)
class Head:
    """A network, what to call it, and the step of the ascent that was chosen for it."""

    label: str
    net: DiMPNet
    step: tuple[float, float]


def find_heads(folder: Path | None, seed: int = 0) -> list[Head]:
    """The heads of a study's folder that were trained with `seed`, in the study's order; without a folder, the shipped.

    Raises:
        UserError: no head of that seed in the folder, or a file that is no checkpoint.
    """
    if folder is None:
        return [Head("NCE+ (shipped)", cast(DiMPNet, load_network(network_file(SHIPPED))), _SHIPPED_STEP)]
    steps = _chosen_steps(folder)
    found = []
    for name, method in METHODS.items():
        path = folder / f"{name}_{seed}.safetensors"
        if path.is_file() and card_path(path).is_file():
            found.append(Head(method.label, cast(DiMPNet, load_network(path)), steps.get(name, _SHIPPED_STEP)))
    if not found:
        raise UserError(f"{folder}: no heads <method>_{seed}.safetensors; train them: experiments.training_methods run")
    return found


def _chosen_steps(folder: Path) -> dict[str, tuple[float, float]]:
    results = folder.parent / "training_methods.json"
    if not results.is_file():
        print(f"{results} is not there yet: boxes are refined with the shipped network's step", file=sys.stderr)
        return {}
    return {name: tuple(row["steps"]["step_length"]) for name, row in read_json(results)["methods"].items()}
