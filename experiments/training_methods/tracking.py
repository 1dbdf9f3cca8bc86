"""The online tracker with a trained head in it, on real sequences."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from experiments.common import Task, run_tasks
from experiments.training_methods.evaluation import Step, with_step
from experiments.training_methods.heads import HeadUnit, unit_path
from experiments.training_methods.stages import Workplace
from ltr.errors import UserError
from pytracking.analysis.extract import extract_scores
from pytracking.evaluation.data import Sequence as Clip
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import TrackerRun
from pytracking.registry import find_tracker

PROTOCOL = "pytracking"


def clips(folder: Path | None, names: Sequence[str] | None = None) -> list[Clip]:
    """The demo clips, and the sequences of a folder [<group>/]<sequence>/ where one is given.

    Args:
        names: the demo clips that are wanted; None for all of them.

    Raises:
        UserError: an unknown clip, or a folder without sequences.
    """
    found = [] if names is not None and not names else get_dataset("demo", sequences=names)
    return found if folder is None else found + get_dataset("folder", path=folder)


def track_unit(
    place: Workplace, unit: HeadUnit, folder: Path, step: Step, tracker: str, sequences: list[Clip]
) -> dict[str, float]:
    """AUC in per cent of every sequence; results that are complete are kept.

    Raises:
        UserError: a sequence could not be tracked.
    """
    name, parameter = find_tracker(tracker)
    run = TrackerRun(name, parameter)
    results = folder / "tracking" / unit.name
    refinement = with_step(step)
    overrides = {
        "net_path": str(unit_path(folder, unit)),
        "device": place.device,
        "box_refinement_space": refinement.space,
        "box_refinement_iter": refinement.steps,
        "box_refinement_step_length": step,
    }
    # Bars of several processes would overwrite one another.
    with redirect_stderr(io.StringIO()):
        failures = run_dataset(sequences, [run], results, overrides=overrides)
    if failures:
        raise UserError(f"{unit.name} on {failures[0].sequence}: {failures[0].message}")
    scores = extract_scores([run], sequences, results, protocol=PROTOCOL)
    return dict(zip(scores.sequences, scores.auc[:, 0].tolist()))


def track_units(
    place: Workplace,
    units: Sequence[HeadUnit],
    folder: Path,
    steps: dict[str, Step],
    tracker: str,
    sequences: list[Clip],
) -> dict[str, dict[str, float]]:
    """`track_unit` for every unit, by name."""
    frames = sum(len(sequence.frames) for sequence in sequences)
    tasks = [
        Task(unit.name, track_unit, (place, unit, folder, steps[unit.name], tracker, sequences), frames)
        for unit in units
    ]
    return run_tasks("tracking", tasks, place.workers)
