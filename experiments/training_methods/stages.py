"""The study's stages: settings chosen on validation crops, heads trained, the ascent's step chosen, test metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from experiments.common import Task, remembered, run_tasks
from experiments.training_methods import evaluation
from experiments.training_methods.evaluation import Step, best_step
from experiments.training_methods.features import CachedCrops, open_cache
from experiments.training_methods.heads import (
    DivergedError,
    HeadUnit,
    is_trained,
    load_head,
    save_unit,
    take_over,
    train_head,
    unit_path,
)
from experiments.training_methods.settings import METHODS, StudySettings
from ltr.admin.files import write_json
from ltr.admin.inputs import read_json
from pytracking.networks import checksum

STUDY_FILE = "training_methods.json"
TRIALS = "trials"  # the folder of trained trials, in a workplace's
# Time of a step relative to IoU regression's, for estimates only; `cost` measures it.
WEIGHTS = {"mlmcmc1": 1.5, "mlmcmc4": 3.5, "mlmcmc8": 6.5, "dsm": 3.2}


@dataclass(frozen=True)
class Workplace:
    """Where a study runs.

    Attributes:
        folder: Folder of its results.
        cache: Folder of the caches of features.
        device: Device to train on, 'cpu', 'cuda', ...
        workers: Number of processes.
    """

    folder: Path
    cache: Path
    device: str = "cpu"
    workers: int = 1

    @property
    def study_file(self) -> Path:
        """The results of the whole comparison."""
        return self.folder / STUDY_FILE

    def read(self, name: str) -> dict[str, Any] | None:
        """What the JSON file `<name>.json` of the folder holds; None where it is not there yet."""
        file = self.folder / f"{name}.json"
        return read_json(file) if file.is_file() else None


def choose_settings(place: Workplace, settings: StudySettings) -> dict[str, dict[str, Any]]:
    """Arguments and learning rate of every method, by heads trained in full on the first seed.

    First the method's candidates at the first rate, then the other rates with the best of them; what counts is the IoU
    of refined validation boxes, each trial with the step of the ascent that suits it. Short trials would mislead:
    long Langevin steps look best after a quarter of a training, and fail before its end.

    Returns:
        Method -> {'arguments', 'rate', 'trials'}; also written to `choices.json`.
    """
    owners = {name: METHODS[name].like or name for name in settings.methods}
    trials: dict[str, list[dict[str, Any]]] = {owner: [] for owner in owners.values()}
    first = [
        _trial(owner, k, arguments, settings.rates[0], settings)
        for owner in trials
        for k, arguments in enumerate(({}, *METHODS[owner].candidates))
    ]
    _run_trials(place, settings, first, trials)
    best = {owner: max(rows, key=lambda row: row["iou"]) for owner, rows in trials.items()}
    second = [
        _trial(owner, len(trials[owner]) + k, best[owner]["arguments"], rate, settings)
        for owner in trials
        for k, rate in enumerate(settings.rates[1:])
    ]
    _run_trials(place, settings, second, trials)
    best = {owner: max(rows, key=lambda row: row["iou"]) for owner, rows in trials.items()}
    choices = {
        name: {
            "arguments": best[owner]["arguments"],
            "rate": best[owner]["rate"],
            "trials": trials[owner] if owner == name else f"as {owner}",
        }
        for name, owner in owners.items()
    }
    write_json(place.folder / "choices.json", choices)
    return choices


def _trial(method: str, number: int, arguments: dict[str, Any], rate: float, settings: StudySettings) -> HeadUnit:
    name = f"{method}_trial{number}"
    return HeadUnit(name, method, arguments, rate, settings.steps, settings.seeds[0])


def _run_trials(
    place: Workplace, settings: StudySettings, units: Sequence[HeadUnit], trials: dict[str, list[dict[str, Any]]]
) -> None:
    found = run_tasks("trials", _by_weight(units, try_unit, lambda unit: (place, settings, unit)), place.workers)
    for unit in units:
        row = {"arguments": unit.arguments, "rate": unit.rate, **found[unit.name]}
        trials[unit.method].append(row)


def try_unit(place: Workplace, settings: StudySettings, unit: HeadUnit) -> dict[str, Any]:
    """Train a trial and find its best step: {'iou', 'step_length'}; an IoU of 0 where it diverged."""
    folder = place.folder / TRIALS
    try:
        train_unit(place, settings, unit, folder)
    except DivergedError as error:
        return {"iou": 0.0, "step_length": None, "diverged": str(error)}
    coarse = grid_ious(place, settings, unit, folder, evaluation.coarse_grid(), settings.coarse_samples)
    step, _ = best_step({step: [value] for step, value in coarse.items()})
    fine = grid_ious(place, settings, unit, folder, evaluation.fine_grid(step), settings.fine_samples)
    step, value = best_step({step: [value] for step, value in fine.items()})
    return {"iou": value, "step_length": list(step)}


def study_units(settings: StudySettings, choices: dict[str, dict[str, Any]]) -> list[HeadUnit]:
    """The heads of the comparison: every method with every seed."""
    return [
        HeadUnit(f"{name}_{seed}", name, choices[name]["arguments"], choices[name]["rate"], settings.steps, seed)
        for seed in settings.seeds
        for name in settings.methods
    ]


def train_units(place: Workplace, settings: StudySettings, units: Sequence[HeadUnit], folder: Path) -> None:
    """Train the units that are not yet trained, into `folder`.

    Raises:
        DivergedError: one of them diverged; the others are trained.
        ValueError: a file of a unit's name was trained with other settings.
    """
    todo = [unit for unit in units if not is_trained(folder, unit)]
    run_tasks("heads", _by_weight(todo, train_unit, lambda unit: (place, settings, unit, folder)), place.workers)


def _by_weight(
    units: Sequence[HeadUnit], function: Callable[..., Any], arguments: Callable[[HeadUnit], tuple[Any, ...]]
) -> list[Task]:
    """Tasks of units, the longest first, so that none is left over for a single process."""
    tasks = [Task(unit.name, function, arguments(unit), WEIGHTS.get(unit.method, 1.0) * unit.steps) for unit in units]
    return sorted(tasks, key=lambda task: -task.weight)


def train_unit(place: Workplace, settings: StudySettings, unit: HeadUnit, folder: Path) -> None:
    """Train one unit and write its network, unless it is there; a trial that was trained alike is taken over."""
    if is_trained(folder, unit) or take_over(place.folder / TRIALS, unit, folder):
        return
    net, record = train_head(unit, crops_of(place, settings, "train"), settings, torch.device(place.device))
    save_unit(folder, unit, net, record, settings)


def choose_steps(
    place: Workplace, settings: StudySettings, groups: dict[str, list[HeadUnit]], folder: Path
) -> dict[str, dict[str, Any]]:
    """The step of the ascent of every group (a method's seeds), by the mean IoU of refined validation boxes.

    Returns:
        Group -> {'step_length', 'iou', 'coarse', 'fine'}, the last two as rows [centre, size, mean IoU].
    """

    def measure(title: str, grids: dict[str, list[Step]], samples: int) -> dict[str, dict[Step, list[float]]]:
        tasks = [
            Task(unit.name, grid_ious, (place, settings, unit, folder, grids[group], samples))
            for group, units in groups.items()
            for unit in units
        ]
        found = run_tasks(title, tasks, place.workers)
        return {
            group: {step: [found[unit.name][step] for unit in units] for step in grids[group]}
            for group, units in groups.items()
        }

    coarse = measure("steps, coarse", dict.fromkeys(groups, evaluation.coarse_grid()), settings.coarse_samples)
    grids = {group: evaluation.fine_grid(best_step(table)[0]) for group, table in coarse.items()}
    fine = measure("steps, fine", grids, settings.fine_samples)
    chosen = {}
    for group in groups:
        step, value = best_step(fine[group])
        tables = {
            name: [[*step, sum(values) / len(values)] for step, values in table[group].items()]
            for name, table in (("coarse", coarse), ("fine", fine))
        }
        chosen[group] = {"step_length": list(step), "iou": value, **tables}
    return chosen


def chosen_rate(place: Workplace, settings: StudySettings) -> float:
    """NCE+'s learning rate as the comparison chose it; the first that it would try where it has not run."""
    choices = place.read("choices")
    return settings.rates[0] if choices is None else float(choices["nceplus"]["rate"])


def steps_of_units(chosen: dict[str, dict[str, Any]], groups: dict[str, list[HeadUnit]]) -> dict[str, Step]:
    """The step of every unit by its name, from those that `choose_steps` chose for the groups."""
    steps = {key: (row["step_length"][0], row["step_length"][1]) for key, row in chosen.items()}
    return {unit.name: steps[key] for key, units in groups.items() for unit in units}


def grid_ious(
    place: Workplace, settings: StudySettings, unit: HeadUnit, folder: Path, steps: Sequence[Step], samples: int
) -> dict[Step, float]:
    """Mean IoU of refined validation boxes with each step."""
    path = unit_path(folder, unit)
    question = {"weights": checksum(path), "steps": steps, "samples": samples}

    def answer() -> dict[str, Any]:
        crops = crops_of(place, settings, "validation")
        crops = crops.select(range(min(samples, len(crops))))
        device = torch.device(place.device)
        ious = evaluation.refined_ious(load_head(path).to(device), crops, steps, device)
        return {"ious": ious["refined"].flatten(1).mean(1).tolist()}

    # The numbers in the name distinguish the coarse choice from the fine one.
    stored = remembered(folder / "steps" / f"{unit.name}_{len(steps)}x{samples}.json", question, answer)
    return dict(zip(steps, stored["ious"]))


def judge_units(
    place: Workplace, settings: StudySettings, units: Sequence[HeadUnit], folder: Path, steps: dict[str, Step]
) -> dict[str, dict[str, Any]]:
    """Metrics of every unit on the test crops, by name (see `evaluation.evaluate`). `steps`: by unit's name."""
    tasks = [Task(unit.name, judge_unit, (place, settings, unit, folder, steps[unit.name])) for unit in units]
    return run_tasks("test crops", tasks, place.workers)


def judge_unit(place: Workplace, settings: StudySettings, unit: HeadUnit, folder: Path, step: Step) -> dict[str, Any]:
    """Metrics of one unit on the test crops."""
    path = unit_path(folder, unit)
    samples = None if METHODS[unit.method].objective == "iou" else settings.nll_samples
    question = {"weights": checksum(path), "step": list(step), "samples": settings.test_samples, "nll_samples": samples}

    def answer() -> dict[str, Any]:
        device = torch.device(place.device)
        head = load_head(path).to(device)
        return evaluation.evaluate(head, crops_of(place, settings, "test"), step, samples, device)

    return remembered(folder / "test" / f"{unit.name}.json", question, answer)


@lru_cache(maxsize=3)
def _crops(cache: Path, settings: StudySettings, split: str) -> CachedCrops:
    return open_cache(cache, settings, split)


def crops_of(place: Workplace, settings: StudySettings, split: str) -> CachedCrops:
    """The crops of a split, read once in this process."""
    # The crops do not depend on seeds and methods, so that one copy serves all heads.
    return _crops(place.cache, replace(settings, seeds=(0,), methods=("nceplus",)), split)
