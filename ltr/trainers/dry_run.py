"""What a recipe would do, without training: the whole recipe, what it trains and freezes, and a batch as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from ltr.actors.base import BaseActor, Batch
from ltr.actors.tracking import DiMPActor, make_actor
from ltr.admin.files import whole_file
from ltr.data.loader import make_loader, to_device
from ltr.ops.boxes import from_relative
from ltr.train_settings.recipe import Recipe
from ltr.trainers.optimisation import make_optimiser
from ltr.trainers.run import RunSettings, make_samplers, seeded_generator

ROWS = 6
PROPOSALS = 24


def dry_run(recipe: Recipe, run: RunSettings) -> Path:
    """Print the recipe and its parameters, and draw the first batch, with the boxes that its first step scores.

    Returns:
        The picture, `<workspace>/<name>/dry_run.png`.

    Raises:
        ValueError, FileNotFoundError, SampleError: what would stop the training too. Recipe and parameters have been
            printed by then, so that they can be read without data.
    """
    print(json.dumps(recipe.to_dict(), indent=2))
    device = torch.device(run.device)
    torch.manual_seed(recipe.seed)
    # Neither the table nor the drawn boxes depend on weights, which would have to be fetched first.
    pretrained = {"backbone_pretrained": False} if recipe.network.arguments.get("backbone_pretrained") else {}
    net = recipe.network.build(**pretrained).to(device)
    actor = make_actor(recipe, net)
    print(parameter_table(net, make_optimiser(net, recipe.optimiser)))
    sampler, _ = make_samplers(recipe)
    batch = to_device(next(iter(make_loader(sampler, recipe.batch_size // recipe.micro_batches, 0))), device)
    proposals = drawn_proposals(actor, batch, seeded_generator(recipe.seed, 0, 0, device))
    labels = None
    if isinstance(actor, DiMPActor):
        labels = actor.labels(batch["test_boxes"], batch["test_images"].shape[-1]).cpu()
    path = run.workspace / recipe.name / "dry_run.png"
    draw_batch(path, batch, proposals, labels)
    print(f"one batch: {path}")
    return path


def parameter_table(net: nn.Module, optimiser: torch.optim.Optimizer) -> str:
    """Parameters a learning-rate group, and those that are frozen."""
    rows = [
        (group["name"], sum(parameter.numel() for parameter in group["params"]), f"{group['lr']:g}")
        for group in optimiser.param_groups
    ]
    rows.append(("frozen", sum(p.numel() for p in net.parameters() if not p.requires_grad), "-"))
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'parameters of':{width}}  {'number':>12}  {'rate':>8}"]
    return "\n".join([*lines, *(f"{name:{width}}  {count:12,}  {rate:>8}" for name, count, rate in rows)])


def drawn_proposals(actor: BaseActor, batch: Batch, generator: torch.Generator) -> Tensor:
    """The boxes that a step's objective has scored: [n S, M, 4] (x, y, w, h) in crop pixels, all test frames.

    M is 0 where the network has no box head.
    """
    if actor.method is None:
        return batch["test_boxes"].flatten(0, 1)[:, None][:, :0]
    energy = actor.energy_of(batch)
    scored: list[Tensor] = []

    def recording(points: Tensor) -> Tensor:
        scored.append(points.detach())
        return energy(points)

    actor.method.loss(recording, energy.annotation, generator=generator)
    return from_relative(torch.cat(scored, dim=1), energy.size.unsqueeze(1))


def draw_batch(path: Path, batch: Batch, proposals: Tensor, labels: Tensor | None) -> None:
    """A row a sequence: train crops, test crops with proposals [n S, M, 4], and their label maps [n, S, F', F']."""
    rows = min(len(batch["sources"]), ROWS)
    train, test = len(batch["train_images"]), len(batch["test_images"])
    columns = train + test * (1 if labels is None else 2)
    figure = Figure(figsize=(2.4 * columns, 2.55 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    boxes = proposals.unflatten(0, (test, -1)).cpu()
    for row in range(rows):
        cells: Iterator[Axes] = iter(axes[row])
        for part, frames in (("train", train), ("test", test)):
            for frame in range(frames):
                cell = _show(next(cells), batch[f"{part}_images"][frame, row], f"{part} {frame + 1}")
                every = max(boxes.shape[2] // PROPOSALS, 1)
                for box in boxes[frame, row, ::every][:PROPOSALS] if part == "test" else ():
                    _outline(cell, box, "orange", 0.5)
                _outline(cell, batch[f"{part}_boxes"][frame, row], "lime")
        if labels is not None:
            for frame in range(test):
                cell = _show(next(cells), batch["test_images"][frame, row], f"label {frame + 1}")
                _overlay(cell, labels[frame, row], batch["test_images"].shape[-1])
        axes[row][0].set_ylabel(batch["sources"][row], fontsize=7)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)


def _show(axes: Axes, image: Tensor, title: str) -> Axes:
    axes.imshow(image.permute(1, 2, 0).cpu().numpy())
    axes.set_title(title, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _outline(axes: Axes, box: Tensor, colour: str, width: float = 1.5) -> None:
    x, y, w, h = box.tolist()
    axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colour, linewidth=width))


def _overlay(axes: Axes, label: Tensor, size: int) -> None:
    # With an even filter the map has odd length, and its first cell's centre lies on the crop's edge.
    cells = label.shape[-1]
    even = cells % 2 == 1
    cell = size / (cells - 1 if even else cells)
    low, high = (-cell / 2, size + cell / 2) if even else (0.0, float(size))
    extent = (low, high, high, low)
    values = label.numpy()
    axes.imshow(values, extent=extent, cmap="inferno", alpha=np.clip(0.25 + values, 0, 0.75), vmin=0, vmax=1)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
