"""Find the training samples that a network fails on, so that its training goes on with them more often.

    python -m experiments.hard_samples dimp_nceplus_lite --network workspace/dimp_nceplus_lite/network.safetensors
    python ltr/run_training.py dimp_nceplus_lite --workspace workspace/hard --set data.hard_samples=results/hard.json \\
        --set start=workspace/dimp_nceplus_lite/network.safetensors

Draws training samples as the recipe does, computes each one's loss, and keeps the frames of those with the highest;
their crops are drawn anew in training. The loss is the target classifier's, because a target is lost to look-alikes, or
the whole loss where the recipe trains no classifier. The hardest of all are left out: there, annotations are likely to
be wrong or targets hidden. A picture beside the file shows what was found, hardest first; look at it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from experiments.common import network_command_line, positive
from ltr.actors.tracking import make_actor
from ltr.admin.checkpoint import load_network
from ltr.admin.files import write_json
from ltr.data.loader import collate, make_loader, to_device
from ltr.data.sampler import TrackingSampler
from ltr.errors import UserError, exit_status
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Recipe, with_changes
from ltr.trainers.dry_run import ROWS, draw_batch
from ltr.trainers.log import environment
from ltr.trainers.run import make_sampler, seeded_generator

# An epoch that no training has, so that other samples are drawn than it has seen.
_EPOCH = 1_000_000


@torch.no_grad()
def losses_of(recipe: Recipe, sampler: TrackingSampler, network: Path, device: str, workers: int) -> list[float]:
    """The loss of every sample of a sampler's epoch, one by one, in eval mode.

    Raises:
        CheckpointError: not a network.
        SampleError: a sequence cannot be read.
    """
    actor = make_actor(replace(recipe, precision="fp32"), load_network(network).to(device)).eval()
    name = "loss" if recipe.classifier is None else "loss/classifier"
    loader = make_loader(sampler, 1, workers)
    loader.set_epoch(_EPOCH)
    target, losses = torch.device(device), []
    for number, batch in enumerate(tqdm(loader, desc="training samples", unit="sample")):
        generator = seeded_generator(recipe.seed, _EPOCH, number, target)
        losses.append(float(actor(to_device(batch, target), generator).statistics[name]))
    return losses


def hardest(losses: Sequence[float], skipped: float, kept: float) -> list[int]:
    """Numbers of the samples of the highest losses, hardest first, without the share `skipped` above them.

    Raises:
        UserError: a share that is not between 0 and 1, a loss that is not finite, or none is left.
    """
    if not (0 <= skipped <= 1 and 0 <= kept <= 1):
        raise UserError(f"--skipped and --kept are shares between 0 and 1, not {skipped:g} and {kept:g}")
    if not np.isfinite(losses).all():
        raise UserError("the network gives losses that are not finite: train it again")
    order = np.argsort(-np.array(losses), kind="stable").tolist()
    first = round(skipped * len(order))
    chosen = order[first : first + round(kept * len(order))]
    if not chosen:
        raise UserError(f"no sample is left of {len(order)}: draw more with --samples, or raise --kept")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = network_command_line("hard_samples", __doc__, "results/hard.json")
    parser.add_argument("--samples", type=positive, default=4000, help="training samples drawn (%(default)s)")
    parser.add_argument("--kept", type=float, default=0.2, help="share of them that is kept (%(default)s)")
    parser.add_argument("--skipped", type=float, default=0.01, help="share of the hardest left out (%(default)s)")
    parser.add_argument("--workers", type=positive, default=1, help="processes that load samples (%(default)s)")
    options = parser.parse_args(arguments)
    recipe = with_changes(load_recipe([options.recipe]), options.set)
    sampler = make_sampler(recipe, recipe.data.train, options.samples, recipe.seed)
    losses = losses_of(recipe, sampler, options.network, options.device, options.workers)
    chosen = hardest(losses, options.skipped, options.kept)
    mean = sum(losses) / len(losses)
    content: dict[str, Any] = {
        "recipe": recipe.name,
        "network": options.network.name,
        "drawn": len(losses),
        "mean_loss": mean,
        "environment": environment(),
        "samples": [asdict(sampler.frames_of((_EPOCH, number))) | {"loss": losses[number]} for number in chosen],
    }
    write_json(options.output, content)
    batch = collate([sampler[_EPOCH, number] for number in chosen[:ROWS]])
    picture = options.output.with_suffix(".png")
    draw_batch(picture, batch, batch["test_boxes"].flatten(0, 1)[:, None][:, :0], None)
    print(
        f"{len(chosen)} of {len(losses)} samples, losses {losses[chosen[-1]]:.3g} to {losses[chosen[0]]:.3g}", end=" "
    )
    print(f"(mean of all {mean:.3g})")
    for name, count in Counter(row["source"].partition(":")[0] for row in content["samples"]).most_common():
        print(f"  {count:5d} of {name}")
    print(f"{options.output}, and its hardest as a picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
