"""Choose how a trained box head's energy is climbed: a grid over steps and step lengths on validation crops.

    python -m experiments.refinement_choice dimp_nceplus_lite --network workspace/dimp_nceplus_lite/network.safetensors

An energy trained with another objective has another scale, so the step length that suits one does not suit the next
(docs/reference.md, section 9 has the detection study's). Prints the table, marks the best, and writes it all as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from experiments.common import network_command_line, positive
from ltr.actors.base import BaseActor, Batch
from ltr.actors.tracking import make_actor
from ltr.admin.checkpoint import load_network
from ltr.admin.files import write_json
from ltr.data.loader import make_loader, to_device
from ltr.errors import exit_status
from ltr.ops.boxes import iou
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Recipe, Refinement, with_changes
from ltr.trainers.log import environment
from ltr.trainers.run import make_sampler
from ltr.trainers.validation import jittered_boxes, refine

# Number of steps, and factor on their length after each.
STEPS = ((5, 1.0), (5, 0.8), (10, 1.0), (20, 1.0))
# Scores of IoU regression, whose ascent is in absolute space, lie in [-1, 1]; those of energies are far steeper.
CENTRE_STEPS = {
    "relative": (2.5e-4, 5e-4, 1e-3, 1.4e-3, 2.5e-3, 5e-3, 1e-2),
    "absolute": (0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
}
SIZE_FACTORS = (1.0, 4.0)


def grid(base: Refinement) -> list[Refinement]:
    """What is tried in the space of `base`: steps and decay, the centre's step, the size's over it; and `base`."""
    tried = [
        replace(base, steps=steps, decay=decay, step_length=(centre, factor * centre))
        for (steps, decay), centre, factor in product(STEPS, CENTRE_STEPS[base.space], SIZE_FACTORS)
    ]
    return tried if base in tried else [*tried, base]


def evaluate(actor: BaseActor, batches: Sequence[Batch], settings: Sequence[Refinement], seed: int) -> list[Tensor]:
    """IoU with the annotation of every validation frame, before refinement and after each setting.

    Returns:
        [frames] of the mean start, then [frames] a setting. All settings climb from the same starts.
    """
    device = next(actor.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    found: list[list[Tensor]] = [[] for _ in range(len(settings) + 1)]
    for batch in tqdm(batches, desc="validation crops", unit="batch"):
        with torch.no_grad():
            moved = to_device(batch, device)
            energy = actor.energy_of(moved)
            boxes = moved["test_boxes"].flatten(0, 1)
            starts = jittered_boxes(boxes, Refinement(), generator)
            found[0].append(iou(starts, boxes.unsqueeze(1)).mean(dim=1))
            for index, refinement in enumerate(settings):
                found[index + 1].append(iou(refine(energy, starts, refinement), boxes))
    return [torch.cat(parts).cpu() for parts in found]


def report(settings: Sequence[Refinement], values: Sequence[Tensor]) -> list[dict[str, object]]:
    """Rows of the table, best first: the setting, mean IoU, share of frames over IoU 0.5 and 0.75."""
    rows: list[dict[str, object]] = []
    for refinement, value in zip(settings, values[1:]):
        shares = {f"over_{limit}": float((value > limit / 100).float().mean()) for limit in (50, 75)}
        rows.append({**asdict(refinement), "iou": float(value.mean()), **shares})
    return sorted(rows, key=lambda row: -cast(float, row["iou"]))


def choose(recipe: Recipe, network: Path, samples: int, threads: int, device: str) -> dict[str, object]:
    """Run the grid for a network; the content of the JSON file."""
    torch.set_num_threads(threads)
    actor = make_actor(replace(recipe, precision="fp32"), load_network(network).to(device))
    sampler = make_sampler(recipe, recipe.data.validation, samples, recipe.seed + 1)
    batches = list(make_loader(sampler, recipe.batch_size, num_workers=0))
    settings = grid(recipe.refinement)
    values = evaluate(actor, batches, settings, recipe.seed)
    return {
        "recipe": recipe.to_dict(),
        "network": network.name,
        "environment": environment(),
        "frames": len(values[0]),
        "iou_start": float(values[0].mean()),
        "settings": report(settings, values),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = network_command_line("refinement_choice", __doc__, "results/refinement_choice.json")
    parser.add_argument("--samples", type=positive, default=320, help="validation sequences (%(default)s)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of torch (%(default)s)")
    options = parser.parse_args(arguments)
    recipe = with_changes(load_recipe([options.recipe]), options.set)
    result = choose(recipe, options.network, options.samples, options.threads, options.device)
    print(f"{result['frames']} frames, mean IoU of the starts {result['iou_start']:.4f}")
    print("steps  decay  centre    size      IoU     >0.5    >0.75")
    for row in cast(list[dict[str, float]], result["settings"])[:12]:
        length = cast(Any, row["step_length"])
        centre, size = length if isinstance(length, tuple) else (length, length)
        print(
            f"{row['steps']:5d}  {row['decay']:5.2f}  {centre:.2e}  {size:.2e}  {row['iou']:.4f}  "
            f"{row['over_50']:.4f}  {row['over_75']:.4f}"
        )
    write_json(options.output, result)
    print(f"all settings: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
