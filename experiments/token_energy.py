"""What an energy on OSTrack's tokens adds to its centre head, on crops of held-out sequences.

    python ltr/run_training.py ostrack_toy_nceplus
    python -m experiments.token_energy --network workspace/ostrack_toy_nceplus/network.safetensors

The centre head finds a box in every crop, and the energy refines it by the tracker's own rule. The step of the ascent
and the temperature of the density are chosen on one half of the sequences, the figures are those of the other half.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from experiments import calibration
from experiments.common import command_line, markdown, positive
from ltr.actors.ostrack import OSTrackActor
from ltr.admin.checkpoint import load_network
from ltr.data.loader import make_loader
from ltr.errors import UserError, exit_status
from ltr.models.tracking.ostrack import EnergyOSTrack, decode
from ltr.ops.boxes import iou
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Recipe
from ltr.trainers.run import make_sampler
from pytracking.analysis.bootstrap import paired_difference
from pytracking.tracker.shared.refinement import RefinementParameters, best_mean, climb, draw_jitter, propose
from pytracking.tracker.shared.uncertainty import ascent_rows, uncertainty_of

SETTINGS = [
    RefinementParameters(box_refinement_step_length=(centre, factor * centre))
    for centre in (2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2)
    for factor in (1, 4)
]


@torch.no_grad()
def observe(actor: OSTrackActor, recipe: Recipe, samples: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The centre head's boxes of held-out crops, and what each of `SETTINGS` makes of them.

    Crops are those of training without its augmentation: the target may lie anywhere in them.

    Returns:
        Each crop's sequence [n]; the true boxes [n, 4] (x, y, w, h) in crop pixels, those found, and for each setting
        those refined and the rows [n, .] of `ascent_rows`.
    """
    crop = replace(recipe.crop, flip_probability=0.0, grayscale_probability=0.0, brightness_jitter=0.0)
    sampler = make_sampler(replace(recipe, crop=crop), recipe.data.validation, samples, recipe.seed + 1)
    generator = torch.Generator().manual_seed(recipe.seed)
    sequences: list[str] = []
    parts: list[list[np.ndarray]] = []
    for batch in tqdm(make_loader(sampler, recipe.batch_size, 0), desc="held-out crops", unit="batch"):
        sequences += batch["sources"] * len(batch["test_boxes"])
        output = actor.locate(batch)
        true, label = (batch[f"test_{kind}"].flatten(0, 1) for kind in ("boxes", "labels"))
        centre, size = (decode(output.maps) * crop.output_size).split(2, dim=1)
        # The head's boxes follow the rule of its labels; the energy's, and the true ones, are exact.
        found = torch.cat((centre - size / 2 + (true - label)[:, :2], size), dim=1).numpy()
        energy = actor.energy(output, batch)
        jitter = torch.stack([draw_jitter(SETTINGS[0], generator) for _ in found]).numpy()
        parts.append([true.numpy(), found])
        for setting in SETTINGS:
            starts = propose(found, jitter, setting)
            reached, scores = climb(energy.ascend, starts, setting)
            best, fair = best_mean(reached, scores, setting)
            rows = ascent_rows(starts, reached, fair, np.ones(len(best), np.float32))
            parts[-1] += [np.where(fair[:, None], best, found), rows]
    return np.array(sequences), [np.concatenate(each) for each in zip(*parts)]


def study(recipe: Recipe, network: Path, samples: int) -> str:
    """Choose on one half of the sequences, measure on the other; the tables."""
    net = load_network(network)
    if not isinstance(net, EnergyOSTrack):
        raise UserError(f"{network} has no energy on OSTrack's tokens; train a recipe such as ostrack_toy_nceplus")
    sequences, (true, found, *rest) = observe(OSTrackActor(net, recipe.box).eval(), recipe, samples)
    chooses = np.isin(sequences, np.unique(sequences)[::2])
    before, *after = (iou(torch.from_numpy(boxes), torch.from_numpy(true)).numpy() for boxes in (found, *rest[::2]))
    best = max(range(len(SETTINGS)), key=lambda k: float(after[k][chooses].mean()))
    setting, refined, rows = SETTINGS[best], rest[2 * best], rest[2 * best + 1]
    halves = []
    for half in (chooses, ~chooses):
        places = np.flatnonzero(half)
        said = [uncertainty_of(rows[k], tuple(refined[k].tolist()), setting) for k in places]
        known = [(refined[k], true[k], each) for k, each in zip(places, said) if each is not None]
        halves.append(calibration.compare(known))
    deviations, errors, on_target = halves[0]
    temperature = calibration.choose_temperature(deviations[on_target], errors[on_target])
    return "\n\n".join(
        (
            overlaps(sequences[~chooses], before[~chooses], after[best][~chooses]),
            f"Steps of centre and size: {setting.box_refinement_step_length}, chosen on as many other sequences.",
            calibration.table({"held-out": calibration.figures(*halves[1], temperature)}),
        )
    )


def overlaps(sequences: np.ndarray, before: np.ndarray, after: np.ndarray) -> str:
    """IoU of crops [n] before and after as a table, and the gain, resampled by sequence."""
    _, place, counts = np.unique(sequences, return_inverse=True, return_counts=True)
    first, second = (np.bincount(place, each) / counts for each in (after, before))
    gain = paired_difference(first, second, weights=counts.astype(float))
    rows = [
        [name, f"{each.mean():.3f}", *(f"{100 * (each > limit).mean():.1f} %" for limit in (0.5, 0.75))]
        for name, each in (("of the centre head", before), ("refined by the energy", after))
    ]
    rows.append(["gain", f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})", "", ""])
    scale = f"{len(sequences)} crops of {len(counts)} held-out sequences; the gain with its 95 % interval, a paired "
    return markdown(["boxes", "mean IoU", "IoU > 0.5", "IoU > 0.75"], rows) + f"\n\n{scale}bootstrap over sequences."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = command_line("token_energy", __doc__)
    parser.add_argument("recipe", nargs="?", default="ostrack_toy_nceplus", help="recipe of the network (%(default)s)")
    parser.add_argument("--network", type=Path, required=True, help="trained network (.safetensors)")
    parser.add_argument("--samples", type=positive, default=640, help="held-out samples (%(default)s)")
    options = parser.parse_args(arguments)
    print(study(load_recipe([options.recipe]), options.network, options.samples))
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
