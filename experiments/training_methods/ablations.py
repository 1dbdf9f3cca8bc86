"""What NCE+ depends on: beta, M, the noise's sigmas; and what it was made for: errors in annotations, many or few."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from experiments.training_methods.heads import HeadUnit
from experiments.training_methods.results import differences, without_lists
from experiments.training_methods.settings import StudySettings
from experiments.training_methods.stages import Workplace, choose_steps, judge_units, steps_of_units, train_units
from ltr.admin.files import write_json

BETAS = (0.01, 0.03, 0.1, 0.3, 1.0)
SAMPLES = (16, 64, 128, 256)
SIGMAS: tuple[tuple[float, ...], ...] = ((0.025, 0.25), (0.05, 0.25), (0.05, 0.5), (0.1, 0.5), (0.05, 0.5, 1.0))
LABEL_NOISE = (0.0, 0.025, 0.05, 0.1, 0.2)
FEW = 100  # sequences
# Root mean square of the trackers' noise, of which p_beta is beta times.
_NOISE_RMS = math.sqrt((0.05**2 + 0.5**2) / 2)


@dataclass(frozen=True)
class Arm:
    """One setting of an ablation.

    Attributes:
        key: Name in file names.
        label: Name in tables.
        method, arguments, label_noise: Fields of its `HeadUnit`.
        value: Position on the axis of the picture.
        series: Line of the picture that it belongs to.
    """

    key: str
    label: str
    method: str
    arguments: dict[str, Any]
    value: float
    label_noise: float = 0.0
    series: str = "NCE+"


def beta_arms() -> list[Arm]:
    """NCE+ from a positive that is almost the annotation to one drawn as the samples are."""
    return [Arm(f"beta{beta:g}", f"beta {beta:g}", "nceplus", {"beta": beta}, beta) for beta in BETAS]


def samples_arms() -> list[Arm]:
    """NCE+ with fewer and more samples."""
    return [Arm(f"m{count}", f"M = {count}", "nceplus", {"num_samples": count}, count) for count in SAMPLES]


def sigma_arms() -> list[Arm]:
    """NCE+ with narrower and wider noise."""
    arms = []
    for position, sigmas in enumerate(SIGMAS):
        text = ", ".join(f"{sigma:g}" for sigma in sigmas)
        arms.append(Arm(f"sigma{position}", text, "nceplus", {"noise_sigmas": list(sigmas)}, position))
    return arms


def matched_beta(label_noise: float) -> float:
    """The beta whose p_beta has the errors' standard deviation; 1 at most.

    >>> round(matched_beta(0.05), 3)
    0.141
    """
    return min(label_noise / _NOISE_RMS, 1.0)


def label_noise_arms() -> list[Arm]:
    """NCE, NCE+ with the usual beta and NCE+ with beta as wide as the errors, on annotations with errors."""
    arms = []
    for size in LABEL_NOISE:
        percent = f"{100 * size:g} %"
        choices: list[tuple[str, str, dict[str, Any]]] = [
            ("nce", "NCE", {}),
            ("nceplus", "NCE+ (beta 0.1)", {"beta": 0.1}),
        ]
        if size > 0:
            choices.append(("nceplus", "NCE+ (matched beta)", {"beta": matched_beta(size)}))
        for position, (method, series, arguments) in enumerate(choices):
            key = f"noise{100 * size:g}_{position}"
            arms.append(Arm(key, f"{percent}, {series}", method, arguments, size, size, series))
    return arms


ABLATIONS: dict[str, Callable[[], list[Arm]]] = {
    "beta": beta_arms,
    "samples": samples_arms,
    "sigma": sigma_arms,
    "label-noise": label_noise_arms,
    "few-annotations": label_noise_arms,
}


def ablation_settings(name: str, settings: StudySettings) -> StudySettings:
    """The comparison's settings with two seeds, half the steps and fewer crops to choose the ascent's step by.

    'few-annotations' also trains on `FEW` sequences, which come again and again.
    """
    fewer = max(1, settings.fine_samples * 2 // 5)
    shorter = replace(settings, seeds=settings.seeds[:2], steps=max(1, settings.steps // 2), fine_samples=fewer)
    if name == "few-annotations":
        return replace(shorter, train_samples=min(FEW, settings.train_samples))
    return shorter


def arm_units(arm: Arm, settings: StudySettings, rate: float) -> list[HeadUnit]:
    """An arm with every seed."""
    return [
        HeadUnit(f"{arm.key}_{seed}", arm.method, arm.arguments, rate, settings.steps, seed, arm.label_noise)
        for seed in settings.seeds
    ]


def run_ablation(name: str, place: Workplace, settings: StudySettings, rate: float) -> dict[str, Any]:
    """Train and judge all arms of an ablation; each climbs with the step chosen for it on (clean) validation crops.

    Returns:
        {'arms': label -> {'value', 'series', 'step_length', 'heads': metrics of every seed, 'minus_first': paired
        differences to the first arm of the same value, empty for that one}, 'rate', 'settings'}; also written to
        `<folder>/study_<name>.json`.
    """
    folder = place.folder / name
    arms = ABLATIONS[name]()
    groups = {arm.key: arm_units(arm, settings, rate) for arm in arms}
    units = [unit for members in groups.values() for unit in members]
    train_units(place, settings, units, folder)
    chosen = choose_steps(place, settings, groups, folder)
    judged = judge_units(place, settings, units, folder, steps_of_units(chosen, groups))
    found = {arm.key: [judged[unit.name] for unit in groups[arm.key]] for arm in arms}
    first = {arm.value: found[arm.key] for arm in reversed(arms)}
    result = {
        "rate": rate,
        "settings": settings.to_dict(),
        "arms": {
            arm.label: {
                "value": arm.value,
                "series": arm.series,
                "step_length": chosen[arm.key]["step_length"],
                "heads": [without_lists(head) for head in found[arm.key]],
                "minus_first": differences(found[arm.key], first[arm.value]),
            }
            for arm in arms
        },
    }
    write_json(place.folder / f"study_{name}.json", result)
    return result
