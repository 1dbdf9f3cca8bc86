"""Put a trained network where trackers find it by name, in half precision, with a card that says what it is.

    python -m experiments.ship_network workspace/dimp_nceplus_lite/network.safetensors --name dimp_nceplus_lite \\
        --data experiments/cards/lite_data.json --refinement results/refinement_choice.json
    python pytracking/run_tracker.py dimp dimp_nceplus_lite --dataset_name demo
    python -m experiments.ship_network --name dimp_nceplus_lite --figures demo --against opencv/kcf

The source is what a training left, or a head of `experiments.training_methods` in its network, whose tracker is set as
the recipe of the name says. The first command writes the network and its card, and `experiments.calibration --write`
adds the temperature of its uncertainty, which other weights do not keep (docs/uncertainty.md). The last one adds
measured figures to the card, from raw results of this very file: a result of other weights is refused by its manifest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.common import command_line
from ltr.admin.checkpoint import card_path, load_network, save_network, tracking_settings
from ltr.admin.files import write_json
from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import UserError, exit_status
from ltr.run_training import load_recipe
from pytracking.analysis.bootstrap import paired_difference
from pytracking.analysis.extract import extract_scores
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.tracker import TrackerRun, parse_runs

NETWORKS = Path("pytracking/networks")


def ship(source: Path, name: str, data: Path, refinement: Path | None) -> Path:
    """Write `<name>.safetensors` (fp16) and `<name>.json`; returns the network's path.

    Args:
        source: a network as training leaves it, with its card and `log.jsonl` beside it, or a head of
            `experiments.training_methods` with its card.
        data: JSON, a list of what was trained on: name, what, count, origin, licence.
        refinement: JSON of `experiments.refinement_choice`; its best settings go into the card.
    """
    net = load_network(source)
    card: dict[str, Any] = json.loads(card_path(source).read_text(encoding="utf-8"))
    constructor = NetworkConstructor(**card.pop("constructor"))
    if "recipe" in card:
        card["recipe_name"] = card["recipe"]["name"]
        card["validation"] = _last_validation(source.with_name("log.jsonl"))
        tracking = tracking_settings(source)
    else:
        card["recipe_name"] = "experiments.training_methods"
        tracking = load_recipe([name]).tracking_settings()
    card["data"] = json.loads(data.read_text(encoding="utf-8"))
    if refinement is not None:
        chosen = json.loads(refinement.read_text(encoding="utf-8"))
        card["refinement"] = {
            "frames": chosen["frames"],
            "iou_start": chosen["iou_start"],
            "best": chosen["settings"][:5],
            "chosen": _setting_of(tracking, chosen["settings"], refinement),
        }
    card["precision"] = "float16"
    target = NETWORKS / f"{name}.safetensors"
    save_network(target, net, constructor, card, dtype=torch.float16, tracking=tracking or None)
    return target


def _setting_of(tracking: dict[str, Any], rows: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """The row of refinement settings that a tracker is set to."""
    step = tracking["box_refinement_step_length"]
    wanted = tracking["box_refinement_iter"], tracking["box_refinement_step_decay"], _pair(step)
    for row in rows:
        if (row["steps"], row["decay"], _pair(row["step_length"])) == wanted:
            return row
    steps, decay, pair = wanted
    raise UserError(f"{path} has no row of {steps} steps of {pair} with decay {decay}, which the tracker takes")


def _pair(step: Any) -> list[float]:
    """The centre's and the size's step."""
    return list(step) if isinstance(step, tuple | list) else [step, step]


def _last_validation(log: Path) -> dict[str, float]:
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found = [record for record in records if record["kind"] == "validation" and "loss" in record]
    total = sum(record["seconds"] for record in records if record["kind"] == "validation")
    if not found:
        raise UserError(f"{log} has no validation record")
    kept = {key: value for key, value in found[-1].items() if key not in ("kind", "seconds")}
    return {**kept, "training_seconds": total}


def add_figures(
    name: str, dataset: str, path: Path | None, results: Path, against: Sequence[TrackerRun] = ()
) -> dict[str, Any]:
    """Add a data set's metrics, from raw results on disk, to a card; returns them.

    Args:
        name: name of the network, whose tracker has parameters of the same name.
        dataset, path: a data set; where all its sequences' names have a '_', what is before the first one is a group.
        results: the folder of raw results.
        against: trackers to compare with; the interval is that of a paired bootstrap over sequences.
    """
    card_file = card_path(NETWORKS / f"{name}.safetensors")
    card = json.loads(card_file.read_text(encoding="utf-8"))
    sequences = get_dataset(dataset, path=path)
    scores = extract_scores([TrackerRun("dimp", name), *against], sequences, results)
    auc = scores.auc
    figures: dict[str, Any] = {
        "sequences": len(sequences),
        "auc": round(float(auc[:, 0].mean()), 2),
        "op50": round(float(scores.overlap_precision(0.5)[:, 0].mean()), 2),
        "precision": round(float(scores.precision[:, 0].mean()), 2),
        "norm_precision": round(float(scores.norm_precision[:, 0].mean()), 2),
    }
    if all("_" in sequence for sequence in scores.sequences):
        groups = np.array([sequence.partition("_")[0] for sequence in scores.sequences])
        figures["groups"] = {group: round(float(auc[groups == group, 0].mean()), 2) for group in np.unique(groups)}
    for column, tracker in enumerate(scores.trackers[1:], start=1):
        found = paired_difference(auc[:, 0], auc[:, column])
        interval = [round(found.low, 2), round(found.high, 2)]
        figures.setdefault("against", {})[tracker] = {"auc": round(float(auc[:, column].mean()), 2), "lead": interval}
    card.setdefault("measured", {})[dataset] = {"protocol": scores.protocol.name, **figures, "names": scores.sequences}
    write_json(card_file, card)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = command_line("ship_network", __doc__)
    parser.add_argument("source", type=Path, nargs="?", help="a trained network (.safetensors)")
    parser.add_argument("--name", required=True, help="its name in the collection")
    parser.add_argument("--data", type=Path, help="JSON with the training data and their licences")
    parser.add_argument("--refinement", type=Path, help="JSON of experiments.refinement_choice")
    parser.add_argument("--figures", metavar="DATASET", help="add the figures of raw results on this data set")
    parser.add_argument("--against", nargs="+", default=[], metavar="TRACKER", help="... and the lead over these")
    parser.add_argument("--dataset_path", type=Path, help="where that data set lies")
    parser.add_argument("--results", type=Path, default=Path("results/tracking_results"), help="%(default)s")
    options = parser.parse_args(arguments)
    if options.figures:
        others = [run for text in options.against for run in parse_runs(text)]
        print(add_figures(options.name, options.figures, options.dataset_path, options.results, others))
    elif options.source is None or options.data is None:
        parser.error("name a network and --data, or --figures")
    else:
        target = ship(options.source, options.name, options.data, options.refinement)
        print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, card {card_path(target)}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
