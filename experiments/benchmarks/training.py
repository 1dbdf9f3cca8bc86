"""What a training step costs: its parts, images a second, and every objective's cost relative to the IoU loss.

    python -m experiments.benchmarks.training --recipe super_dimp --batch 20 --device cuda --json training.json
    python -m experiments.benchmarks.training --recipe dimp_nceplus_lite --batch 4 --rounds 5

Synthetic images in the recipe's shapes, a network with random weights, all objectives in turn within one run, round
after round, so that other programs on the machine disturb all alike. The loader has a benchmark of its own (`loading`);
here, "crops" is what cutting a step's crops out of frames in memory takes one worker.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from experiments.benchmarks.speed import describe_machine, seconds, write_measurements
from experiments.common import METHODS, command_line, positive
from ltr.actors.tracking import Actor, Batch, DiMPActor, make_actor
from ltr.data.loader import collate, to_device
from ltr.data.processing import CropProcessing
from ltr.errors import check_names, exit_status
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import BoxSettings, Recipe, with_changes
from ltr.trainers.batch_norm import set_train_mode
from ltr.trainers.optimisation import clip_gradients, make_optimiser
from ltr.trainers.processes import keep_freed_memory
from pytracking.analysis.tables import format_table

IOU = "iou"
_NUMBERS: dict[str, dict[str, Any]] = {"iou": {"num_proposals": 128}, "sm": {}}
# The studies' methods, 'mlmcmc-1' for one step: objective and arguments, with the same number of boxes an image.
_STUDIED = {name.replace("mlmcmc", "mlmcmc-"): method for name, method in METHODS.items() if name != "mlmcmc16"}
OBJECTIVES = {
    name: (
        method.objective,
        _NUMBERS.get(method.objective, {"num_samples": 128}) | ({"steps": method.chain} if method.chain else {}),
    )
    for name, method in _STUDIED.items()
}
# The training cost in the paper's table of detection (reference, section 7), relative to the detector's own training.
PAPER = {IOU: 1.0, **{name: method.paper[3] for name, method in _STUDIED.items() if method.paper}}
PARTS = ("forward", "objective", "backward", "optimiser")


@dataclass(frozen=True)
class Cost:
    """What was measured of an objective.

    Attributes:
        objective: a key of `OBJECTIVES`.
        parts: median seconds of each of `PARTS`.
        step: median seconds of a step, the sum of its parts.
        images_per_second: crops over the median step.
        relative: median over the rounds of the step over the IoU loss's in the same round; None without that.
        note: why there are no figures, or empty.
    """

    objective: str
    parts: dict[str, float]
    step: float
    images_per_second: float
    relative: float | None
    note: str = ""


def synthetic_batch(recipe: Recipe, batch_size: int, seed: int = 0) -> tuple[Batch, float]:
    """A batch in the recipe's shapes, cut from 640 x 360 frames of noise, and the seconds that cutting took."""
    rng = np.random.default_rng(seed)
    train, test = recipe.data.train_frames, recipe.data.test_frames
    frames = list(rng.integers(0, 256, (train + test, 360, 640, 3), dtype=np.uint8))
    boxes = np.array([[250, 120, 110, 90]] * (train + test), dtype=float)
    processing = CropProcessing(recipe.crop)

    def cut() -> Batch:
        samples: list[dict[str, Any]] = []
        for _ in range(batch_size):
            crops = processing((frames[:train], boxes[:train]), (frames[train:], boxes[train:]), rng)
            samples.append({**crops, "source": "synthetic"})
        return collate(samples)

    cut()
    took, batch = seconds(cut)
    return batch, took


def timed_step(
    actor: Actor, optimiser: torch.optim.Optimizer, batch: Batch, generator: torch.Generator, limit: float
) -> dict[str, float]:
    """Seconds of each of `PARTS` in one step of training."""
    spent: dict[str, float] = {}

    def timed(part: str, function: Callable[[], Any]) -> Any:
        spent[part], result = seconds(function)
        return result

    def forward() -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor | float]:
        train, test = actor.features(batch["train_images"], batch["test_images"])
        if not isinstance(actor, DiMPActor):
            return train, test, 0.0
        size = batch["test_images"].shape[-1]
        return train, test, actor.classifier_loss(train, test, batch["train_boxes"], batch["test_boxes"], size)[0]

    def update() -> None:
        clip_gradients(optimiser, limit)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    train, test, classifier_loss = timed("forward", forward)
    box_loss = timed("objective", lambda: actor.box_loss(train, test, batch, generator)[0])
    loss = classifier_loss + actor.box.weight * box_loss
    timed("backward", loss.backward)
    timed("optimiser", update)
    return spent


def measure(recipe: Recipe, names: list[str], batch_size: int, rounds: int, device: torch.device) -> list[Cost]:
    """Time `rounds` steps of every objective, after one that is not counted."""
    batch = to_device(synthetic_batch(recipe, batch_size)[0], device)
    images = batch_size * (recipe.data.train_frames + recipe.data.test_frames)
    torch.manual_seed(0)
    net = recipe.network.build(backbone_pretrained=False).to(device)
    optimiser = make_optimiser(net, recipe.optimiser)
    set_train_mode(net, recipe.batch_norm)
    weight = recipe.box.weight if recipe.box else 1.0
    actors = {
        name: cast(Actor, make_actor(replace(recipe, box=BoxSettings(*OBJECTIVES[name], weight=weight)), net))
        for name in names
    }
    generator = torch.Generator(device).manual_seed(0)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for round_number in range(rounds + 1):
        # What ran before leaves its mark on caches: nobody is always first.
        first = round_number % len(names)
        for name in (*names[first:], *names[:first]):
            if name in failed:
                continue
            try:
                parts = timed_step(actors[name], optimiser, batch, generator, recipe.optimiser.max_gradient_norm)
            except torch.OutOfMemoryError as error:
                failed[name] = f"out of memory: {str(error).splitlines()[0]}"
                optimiser.zero_grad(set_to_none=True)
                continue
            if round_number:
                found[name].append(parts)
    return [_cost(name, found, failed, images) for name in names]


def _cost(name: str, found: dict[str, list[dict[str, float]]], failed: dict[str, str], images: int) -> Cost:
    if name in failed:
        return Cost(name, {}, float("nan"), float("nan"), None, failed[name])
    steps = [sum(parts.values()) for parts in found[name]]
    reference = [sum(parts.values()) for parts in found.get(IOU, [])]
    relative = median(own / base for own, base in zip(steps, reference)) if reference else None
    parts = {part: median(step[part] for step in found[name]) for part in PARTS}
    return Cost(name, parts, median(steps), images / median(steps), relative)


def table(costs: list[Cost], device: str) -> str:
    """The results as text, a line an objective; times in milliseconds."""
    rows, notes = [], [f"{cost.objective}: not run: {cost.note}" for cost in costs if cost.note]
    for cost in (cost for cost in costs if not cost.note):
        times = [f"{1e3 * value:.1f}" for value in (*(cost.parts[part] for part in PARTS), cost.step)]
        relative = "-" if cost.relative is None else f"{cost.relative:.2f}"
        paper = f"{PAPER[cost.objective]:.2f}" if cost.objective in PAPER else "-"
        rows.append([cost.objective, *times, f"{cost.images_per_second:.1f}", relative, paper, device])
    header = ["objective", *PARTS, "step", "images/s", "relative", "paper", "device"]
    return "\n".join([format_table(header, rows), *notes])


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line("benchmarks.training", __doc__)
    parser.add_argument(
        "--recipe", default="dimp_nceplus_lite", help="recipe of network and shapes (default: %(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe"
    )
    parser.add_argument("--batch", type=positive, help="sequences a step (default: the recipe's)")
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), metavar="NAME", help=", ".join(OBJECTIVES))
    parser.add_argument("--rounds", type=positive, default=10, help="steps of each that count (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of torch (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, settings and results there too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    check_names("objective", args.objectives, OBJECTIVES)
    recipe = with_changes(load_recipe([args.recipe]), args.set)
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(f"{args.recipe} on {args.device}: not run (no CUDA device here)")
        return 0
    torch.set_num_threads(args.threads)
    if device.type == "cpu":
        keep_freed_memory()
    batch_size = args.batch or recipe.batch_size // recipe.micro_batches
    machine = describe_machine()
    name = torch.cuda.get_device_name() if device.type == "cuda" else str(machine["processor"])
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    frames = f"{recipe.data.train_frames} + {recipe.data.test_frames} crops of {recipe.crop.output_size} px"
    print(f"{args.recipe}, {batch_size} sequences of {frames}, {recipe.precision}; {args.rounds} rounds")
    crops = synthetic_batch(recipe, batch_size)[1]
    print(f"crops of a step, one worker, frames in memory: {1e3 * crops:.1f} ms")
    costs = measure(recipe, args.objectives, batch_size, args.rounds, device)
    print(table(costs, name))
    print("medians in ms; forward: backbone and classifier; objective: samples, box head's scores and loss")
    write_measurements(args, crops=crops, results=[asdict(cost) for cost in costs])
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
