"""The study's tables and picture, and putting them into the documentation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common import fill, markdown, mean_and_spread, save_figure, spread
from experiments.detection.coco_files import METRICS
from experiments.detection.settings import METHODS
from ltr.admin.files import write_json, write_text
from ltr.admin.inputs import read_json
from ltr.errors import UserError

CARD, PAGE, PICTURE = "detection_small.json", "detection.md", "detection_small.png"
_REFERENCE = "nce"


def main_table(study: dict[str, Any]) -> str:
    """Markdown: AP before and after refinement, mean and standard deviation over seeds, beside the paper's columns.

    The paper's figures are of COCO test-dev: where the study's data are not COCO's, the header says so.
    """
    other = "" if study["data"]["official"] else ", other data"
    header = ["method", "AP", "AP50", "AP75", "mean IoU", "step (centre, size)", "ms an iteration", "cost over NCE's"]
    header += [f"paper's AP / AP50 / AP75{other}", f"paper's cost over the plain detector's{other}"]
    before = study["before"]
    rows = [["detections as given", *(_percent([before[name]]) for name in (*METRICS, "overlap")), *["-"] * 5]]
    reference = study["methods"].get(_REFERENCE)
    unit = spread([row["seconds_per_iteration"] for row in reference])[0] if reference else None
    for name, found in study["methods"].items():
        seconds = spread([row["seconds_per_iteration"] for row in found])[0]
        steps = " or ".join(sorted({"{:.3g}, {:.3g}".format(*row["step"]) for row in found}))
        paper = METHODS[name].paper or (math.nan,) * 4
        rows.append(
            [
                METHODS[name].label,
                *(_percent([row[key] for row in found]) for key in (*METRICS, "overlap")),
                steps,
                f"{1000 * seconds:.0f}",
                "-" if unit is None else f"{seconds / unit:.2f}",
                " / ".join(f"{value:.1f}" for value in paper[:3]),
                f"{paper[3]:.2f}",
            ]
        )
    return markdown(header, rows)


def tuning_table(study: dict[str, Any]) -> str:
    """Markdown: mean IoU on the tuning images by the factor on the method's step, mean over seeds."""
    factors = list(next(iter(study["methods"].values()))[0]["tried"])
    rows = [
        [METHODS[name].label, *(_percent([row["tried"][factor] for row in found]) for factor in factors)]
        for name, found in study["methods"].items()
    ]
    return markdown(["method", *(f"x {factor}" for factor in factors)], rows)


def conditions(study: dict[str, Any]) -> str:
    """Markdown: what the figures were made with."""
    settings, data = study["settings"], study["data"]
    training, noise, head = settings["training"], settings["noise"], settings["head"]
    outputs = "one output for all classes" if head["class_agnostic"] else "one output a class"
    detector = settings["detector"]
    torch_and_commit = f"{study['environment']['torch']}, {study['environment']['commit'][:10]}"
    length = f"{training['iterations']} iterations of {training['batch_size']} images, {training['optimiser']}"
    rows = [
        ["data", f"{data['name']}: {data['train_images']} images to train, {data['judged_images']} to judge"],
        ["judged", f"{data['detections']} detections, {data['judged_boxes']} annotated boxes"],
        ["features", f"{detector['name']}, longest side {detector['longest_side']}"],
        ["head", f"{head['bins']} x {head['bins']} bins, {head['hidden']} wide, {outputs}"],
        ["training", length],
        ["boxes an image, samples a box", f"{training['boxes_per_image'] or 'all'}, M = {noise['num_samples']}"],
        ["learning rate", f"{training['learning_rate']:g}, x {training['decay']:g} at {training['decay_at']}"],
        ["seeds", str(len(settings["seeds"]))],
        ["device, torch, commit", f"{study['device']}, {torch_and_commit}"],
    ]
    return markdown(["what", "value"], rows)


def refinement_figure(study: dict[str, Any]) -> Figure:
    """AP and mean IoU after refinement, a point a seed; the dashed line is the detections as given."""
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    names = list(study["methods"])
    for axes, (key, title) in zip(figure.subplots(1, 2), (("AP", "AP (%)"), ("overlap", "mean IoU (%)"))):
        for place, name in enumerate(names):
            values = [100 * row[key] for row in study["methods"][name]]
            axes.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.6)
        axes.axvline(100 * study["before"][key], color="black", linestyle="--", linewidth=1)
        axes.set_yticks(range(len(names)), [METHODS[name].label for name in names])
        axes.invert_yaxis()
        axes.set_xlabel(title)
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle("after refinement; dashed: detections as given", fontsize=10)
    return figure


def publish(study_file: Path, cards: Path) -> Path:
    """Copy a finished study's results to the card that the documentation is made from.

    Raises:
        UserError: there are none.
    """
    if not study_file.is_file():
        raise UserError(f"there is no {study_file}: run the study first")
    write_json(cards / CARD, read_json(study_file))
    return cards / CARD


def write_report(cards: Path, docs: Path) -> list[Path]:
    """Fill the tables of `<docs>/detection.md` and draw its picture, from the card.

    Raises:
        UserError: no card, or a page without the markers.
    """
    if not (cards / CARD).is_file():
        raise UserError(f"{cards / CARD}: no results yet; run the study first")
    study = read_json(cards / CARD)
    tables = {"conditions": conditions(study), "main": main_table(study)}
    if len(study["settings"]["refinement"]["factors"]) > 1:
        tables["tuning"] = tuning_table(study)
    page = docs / PAGE
    write_text(page, fill(page.read_text(encoding="utf-8"), tables, str(page)))
    return [page, save_figure(refinement_figure(study), docs / "images" / PICTURE)]


def _percent(values: list[float]) -> str:
    return mean_and_spread([100 * value for value in values])
