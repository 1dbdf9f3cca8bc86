"""From what the stages stored to the tables of the study: means and spreads over seeds, paired differences to NCE+."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.common import markdown, mean_and_spread, spread
from experiments.training_methods.settings import METHODS, REFERENCE
from ltr.admin.files import write_text
from pytracking.analysis.bootstrap import Difference, paired_difference

METRICS = {"iou": "IoU", "over_50": "> 0.5", "over_75": "> 0.75", "nll": "NLL", "auc": "AUC"}
# What is compared sequence by sequence: title, factor, digits.
PAIRED = {
    "by_source": ("IoU on test crops", 100.0, 2),
    "nll_by_source": ("NLL", 1.0, 3),
    "auc_by_sequence": ("AUC on sequences", 1.0, 2),
}
HeadMetrics = dict[str, Any]


def metrics_of(heads: list[HeadMetrics]) -> dict[str, list[float]]:
    """The metrics that all heads of a method have, by name: one value a seed."""
    return {name: [head[name] for head in heads] for name in METRICS if all(name in head for head in heads)}


def difference(first: list[HeadMetrics], second: list[HeadMetrics], key: str, seed: int = 0) -> Difference:
    """First method minus second: a paired bootstrap over what `key` lists, each the mean of the seeds.

    Args:
        key: 'by_source' (IoU of a test sequence's crops, in parts of 1), 'auc_by_sequence' (per cent) or
            'nll_by_source'.
    """
    names = list(first[0][key])

    def means(heads: list[HeadMetrics]) -> np.ndarray:
        return np.mean([[head[key][name] for name in names] for head in heads], axis=0)

    return paired_difference(means(first), means(second), seed=seed)


def assemble(
    settings: dict[str, Any],
    environment: dict[str, str],
    choices: dict[str, Any],
    steps: dict[str, Any],
    heads: dict[str, list[HeadMetrics]],
    cost: dict[str, Any] | None,
) -> dict[str, Any]:
    """Everything that the tables and pictures are made of, as plain JSON values.

    Args:
        choices, steps: by method, from `stages.choose_settings` and `stages.choose_steps`.
        heads: method -> the metrics of its seeds.
        cost: from `cost.measure_cost`.
    """
    return {
        "settings": settings,
        "environment": environment,
        "methods": {
            name: {
                "label": METHODS[name].label,
                "arguments": {**METHODS[name].arguments, **choices[name]["arguments"]},
                "rate": choices[name]["rate"],
                "trials": choices[name]["trials"],
                "steps": steps[name],
                "heads": [without_lists(head) for head in found],
                "minus_reference": differences(found, heads.get(REFERENCE)),
            }
            for name, found in heads.items()
        },
        "cost": cost,
    }


def without_lists(head: HeadMetrics) -> HeadMetrics:
    """A head's metrics without those of every test sequence, which are many; and without the question."""
    return {key: value for key, value in head.items() if key not in ("question", "by_source", "nll_by_source")}


def differences(heads: list[HeadMetrics], reference: list[HeadMetrics] | None) -> dict[str, Any]:
    """Paired differences between heads and a reference's, by name of the metric; {} for the reference itself."""
    if reference is None or reference is heads:
        return {}
    # A single sequence cannot be drawn anew.
    shared = [key for key in PAIRED if all(len(head.get(key, {})) > 1 for head in (*heads, *reference))]
    return {key: {**asdict(difference(heads, reference, key)), "sequences": len(heads[0][key])} for key in shared}


def main_table(study: dict[str, Any]) -> str:
    """Markdown: a method a row, best IoU first; mean and standard deviation over seeds; cost beside the paper's."""
    methods = study["methods"]
    shown = [name for name in METRICS if any(name in metrics_of(row["heads"]) for row in methods.values())]
    header = ["method", *(METRICS[name] for name in shown), "ascent step", "cost", "with backbone", "paper's cost"]
    rows = []
    for name in sorted(methods, key=lambda key: -spread(metrics_of(methods[key]["heads"])["iou"])[0]):
        metrics = metrics_of(methods[name]["heads"])
        cells = [mean_and_spread(metrics[key], 1 + (key == "nll")) if key in metrics else "-" for key in shown]
        step = methods[name]["steps"]["step_length"]
        measured = ((study["cost"] or {}).get("methods") or {}).get(name)
        relative = ["-", "-"]
        if measured is not None:
            relative = [f"{measured['relative']:.2f}", f"{measured['relative_with_backbone']:.2f}"]
        paper = METHODS[name].paper_cost
        rows.append([METHODS[name].label, *cells, f"{step[0]:.2g}, {step[1]:.2g}", *relative, _or_dash(paper)])
    return markdown(header, rows)


def difference_table(study: dict[str, Any]) -> str:
    """Markdown: every method minus NCE+, with intervals of 95 %; a star where the interval excludes zero."""
    methods = study["methods"]
    shown = [key for key in PAIRED if any(key in row["minus_reference"] for row in methods.values())]
    rows = []
    for row in methods.values():
        if not row["minus_reference"]:
            continue
        rows.append([row["label"], *(_difference_cell(row["minus_reference"], key) for key in shown)])
    return markdown([f"minus {METHODS[REFERENCE].label}", *(PAIRED[key][0] for key in shown)], rows)


def _difference_cell(found: dict[str, Any], key: str) -> str:
    """A paired difference with its interval, a star where that excludes zero; '-' where there is none."""
    if key not in found:
        return "-"
    _, factor, digits = PAIRED[key]
    mean, low, high = (f"{factor * found[key][name]:+.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} ... {high}){' *' if found[key]['low'] > 0 or found[key]['high'] < 0 else ''}"


def shipped_table(cards: dict[str, dict[str, Any]]) -> str:
    """Markdown: networks that ship, by name of their trackers, and what their cards say was measured with each."""
    sets = {"folder": "AUC, twelve sequences", "demo": "AUC, demo clips"}
    rows = []
    for name, card in cards.items():
        measured, refinement = card.get("measured", {}), card.get("refinement")
        chosen = "-" if refinement is None else f"{100 * refinement['chosen']['iou']:.1f}"
        auc = [f"{measured[key]['auc']:.1f}" if key in measured else "-" for key in sets]
        rows.append([f"`{name}`", chosen, *auc, _or_dash(card["tracking"].get("uncertainty_temperature"))])
    return markdown(["tracker", "IoU, validation frames", *sets.values(), "temperature"], rows)


def choice_table(study: dict[str, Any]) -> str:
    """Markdown: what was tried on validation crops, and what was taken."""
    rows = []
    for name, row in study["methods"].items():
        if isinstance(row["trials"], str):
            owner = row["trials"].removeprefix("as ")
            rows.append([row["label"], f"as {METHODS[owner].label}", "", "", ""])
            continue
        for trial in row["trials"]:
            taken = {**trial["arguments"]}.items() <= row["arguments"].items() and trial["rate"] == row["rate"]
            taken = taken and trial["iou"] == max(other["iou"] for other in row["trials"])
            iou = f"{100 * trial['iou']:.1f}" if trial["step_length"] else "diverged"
            tried = {**METHODS[name].arguments, **trial["arguments"]}
            settings = ", ".join(f"{key} {value}" for key, value in tried.items()) or "-"
            rows.append([row["label"], settings, f"{trial['rate']:g}", iou, "taken" if taken else ""])
    return markdown(["method", "setting", "learning rate", "validation IoU", ""], rows)


def ablation_table(result: dict[str, Any]) -> str:
    """Markdown: an arm a row; paired differences where arms share a value."""
    arms = result["arms"]
    shown = ("iou", "over_50", "over_75", "nll")
    paired = [key for key in PAIRED if any(key in arm["minus_first"] for arm in arms.values())]
    first = next(iter(arms.values()))["series"]
    header = ["setting", *(METRICS[key] for key in shown), "ascent step"]
    rows = []
    for label, arm in arms.items():
        metrics = metrics_of(arm["heads"])
        cells = [mean_and_spread(metrics[key], 1 + (key == "nll")) for key in shown]
        step = arm["step_length"]
        minus = [_difference_cell(arm["minus_first"], key) for key in paired]
        rows.append([label, *cells, f"{step[0]:.2g}, {step[1]:.2g}", *minus])
    return markdown([*header, *(f"minus {first}: {PAIRED[key][0]}" for key in paired)], rows)


def write_csv(path: Path, study: dict[str, Any]) -> None:
    """A line a head: method, seed and every metric."""
    rows = [
        {"method": name, "seed": seed, **{key: head.get(key) for key in METRICS}}
        for name, row in study["methods"].items()
        for seed, head in zip(study["settings"]["seeds"], row["heads"])
    ]
    write_text(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
