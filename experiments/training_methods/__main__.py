"""How the tracker's box head is best trained: the paper's methods on one frozen backbone, with the same data and seeds.

    python -m experiments.training_methods run --plan                       # what it does, and how long it takes here
    python -m experiments.training_methods cache --workers 2                # the backbone's features, once
    python -m experiments.training_methods run --workers 2 --sequences DIR  # train, choose steps, test, track
    python -m experiments.training_methods study label-noise --workers 2    # also: beta, samples, sigma
    python -m experiments.training_methods report                           # tables and pictures of the docs

The data set is the compact recipe's (docs/data.md): EBM_TRACKING_LITE names its folder. The same command goes on where
it was stopped. --quick makes a trial of two minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.common import claim_workspace, command_line, positive
from experiments.training_methods import report
from experiments.training_methods.ablations import ABLATIONS, ablation_settings, run_ablation
from experiments.training_methods.cost import cost_table, print_plan, run_cost
from experiments.training_methods.features import build_cache, cache_folder
from experiments.training_methods.results import assemble, difference_table, main_table
from experiments.training_methods.settings import StudySettings, quick
from experiments.training_methods.stages import (
    Workplace,
    choose_settings,
    choose_steps,
    chosen_rate,
    judge_units,
    steps_of_units,
    study_units,
    train_units,
)
from experiments.training_methods.tracking import clips, track_units
from ltr.admin.files import write_json
from ltr.errors import exit_status
from ltr.train_settings.recipe import with_changes
from ltr.trainers.log import environment
from ltr.trainers.processes import keep_freed_memory

TRACKER = "dimp_nceplus_lite"


def run_study(place: Workplace, settings: StudySettings, sequences: list[Any]) -> dict[str, Any]:
    """The whole comparison; every stage keeps what is done. Returns what `report` publishes."""
    build_cache(place.cache, settings, place.workers)
    choices = choose_settings(place, settings)
    units = study_units(settings, choices)
    folder = place.folder / "heads"
    train_units(place, settings, units, folder)
    groups = {name: [unit for unit in units if unit.method == name] for name in settings.methods}
    steps = choose_steps(place, settings, groups, folder)
    by_unit = steps_of_units(steps, groups)
    metrics = judge_units(place, settings, units, folder, by_unit)
    if sequences:
        for name, auc in track_units(place, units, folder, by_unit, TRACKER, sequences).items():
            metrics[name] |= {"auc": sum(auc.values()) / len(auc), "auc_by_sequence": auc}
    heads = {name: [metrics[unit.name] for unit in found] for name, found in groups.items()}
    study = assemble(settings.to_dict(), environment(), choices, steps, heads, place.read("cost"))
    study["tracked"] = {
        "sequences": len(sequences),
        "names": [sequence.name for sequence in sequences],
        "frames": sum(len(sequence.frames) for sequence in sequences),
        "protocol": "pytracking",
    }
    write_json(place.study_file, study)
    return study


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--workspace", type=Path, default=Path("workspace/training_methods"), help="%(default)s")
    shared.add_argument("--cache", type=Path, help="folder of the features' caches (<workspace>/features)")
    shared.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="here: %(default)s")
    shared.add_argument("--workers", type=positive, default=1, help="processes of one thread each (%(default)s)")
    shared.add_argument("--quick", action="store_true", help="a trial of two minutes, in a workspace of its own")
    shared.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    parser = command_line("training_methods", __doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", parents=[shared], help="the comparison")
    run.add_argument("--plan", action="store_true", help="print what would be done, how long it takes, and stop")
    run.add_argument("--sequences", type=Path, metavar="DIR", help="track the sequences of this folder too")
    run.add_argument("--clips", nargs="*", metavar="NAME", help="demo clips to track; none after the word: no tracking")
    commands.add_parser("cache", parents=[shared], help="compute the features, nothing else")
    cost = commands.add_parser("cost", parents=[shared], help="time of a step of each method; wants a quiet machine")
    cost.add_argument("--rounds", type=positive, default=20, help="steps of each method (%(default)s)")
    study = commands.add_parser("study", parents=[shared], help="what NCE+ depends on, and errors of annotations")
    study.add_argument("name", choices=list(ABLATIONS))
    made = commands.add_parser("report", parents=[shared], help="publish results: cards, tables and pictures")
    made.add_argument("--cards", type=Path, default=Path("experiments/cards"), help="%(default)s")
    made.add_argument("--again", action="store_true", help="the comparison is that on the network shipped now")
    made.add_argument("--docs", type=Path, default=Path("docs"), help="%(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = build_parser().parse_args(argv)
    settings = with_changes(quick(StudySettings()) if args.quick else StudySettings(), args.set)
    workspace = args.workspace / "quick" if args.quick else args.workspace
    place = Workplace(workspace, args.cache or workspace / "features", args.device, args.workers)
    if args.device == "cpu":
        keep_freed_memory()
    if args.command == "report":
        for path in [*report.publish(workspace, args.cards, args.again), *report.write_report(args.cards, args.docs)]:
            print(path)
        return 0
    if args.command == "cost":
        print(cost_table(run_cost(place, settings, args.rounds)))
        return 0
    if args.command == "cache":
        print(build_cache(place.cache, settings, place.workers))
        return 0
    if args.command == "study":
        _claim(place, settings)
        settings = ablation_settings(args.name, settings)
        build_cache(place.cache, settings, place.workers)
        result = run_ablation(args.name, place, settings, chosen_rate(place, settings))
        print(report.ablation_table(result))
        return 0
    sequences = [] if args.clips == [] and args.sequences is None else clips(args.sequences, args.clips)
    print_plan(place, settings, sequences)
    if args.plan:
        return 0
    _claim(place, settings)
    study = run_study(place, settings, sequences)
    print(main_table(study), difference_table(study), place.study_file, sep="\n\n")
    return 0


def _claim(place: Workplace, settings: StudySettings) -> None:
    claim_workspace(place.folder, settings.to_dict())
    print(f"features: {cache_folder(place.cache, settings)}")


if __name__ == "__main__":
    sys.exit(exit_status(main, resumes=True))
