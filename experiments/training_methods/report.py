"""Put the stored results into the documentation: tables between markers, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.common import fill, markdown, save_figure
from experiments.ship_network import NETWORKS
from experiments.training_methods.ablations import ABLATIONS
from experiments.training_methods.pictures import ablation_figure, comparison_figure, steps_figure
from experiments.training_methods.results import (
    ablation_table,
    choice_table,
    difference_table,
    main_table,
    shipped_table,
    write_csv,
)
from experiments.training_methods.stages import STUDY_FILE
from ltr.admin.files import write_json, write_text
from ltr.admin.inputs import read_json
from ltr.errors import UserError

AGAIN_FILE = "training_methods_again.json"
COMPACT = ("dimp_nceplus_lite", "dimp_kldis_lite", "dimp_nce_lite", "dimp_iou_lite")
# Under which table a picture stands, and what it shows.
_CAPTIONS = {
    "main": ("training_methods", "IoU, likelihood and AUC of every head, and IoU over cost"),
    "choices": ("training_methods_steps", "IoU of refined validation boxes over the step of the ascent"),
    "beta": ("training_methods_beta", "IoU and likelihood over beta"),
    "samples": ("training_methods_samples", "IoU and likelihood over M"),
    "sigma": ("training_methods_sigma", "IoU and likelihood over the noise"),
    "label-noise": ("training_methods_label-noise", "IoU and likelihood over the errors of the annotations"),
    "few-annotations": ("training_methods_few-annotations", "The same with few annotations"),
}


def publish(workspace: Path, cards: Path, again: bool = False) -> list[Path]:
    """Copy a workspace's finished results to the cards that the documentation is made from; a list a CSV besides.

    Args:
        again: the comparison is the smaller one on the network that is shipped now, which has a card of its own.
    """
    written = []
    for source, target in [
        (workspace / STUDY_FILE, cards / (AGAIN_FILE if again else STUDY_FILE)),
        *((workspace / f"study_{name}.json", cards / _ablation_file(name)) for name in ABLATIONS),
    ]:
        if source.is_file():
            content = read_json(source)
            write_json(target, content)
            written.append(target)
            if source.name == STUDY_FILE:
                write_csv(target.with_suffix(".csv"), content)
                written.append(target.with_suffix(".csv"))
    return written


def write_report(cards: Path, docs: Path) -> list[Path]:
    """Fill the tables of `<docs>/training_methods.md` and draw its pictures, from what the cards have.

    Raises:
        UserError: no results at all, or a page without the markers.
    """
    study = _read(cards / STUDY_FILE)
    ablations = {name: _read(cards / _ablation_file(name)) for name in ABLATIONS}
    if study is None and not any(ablations.values()):
        raise UserError(f"{cards}: no results yet; run the study first")
    tables: dict[str, str] = {}
    pictures: dict[str, Figure] = {}
    if study is not None:
        tables |= {
            "conditions": conditions(study),
            "main": main_table(study),
            "differences": difference_table(study),
            "choices": choice_table(study),
        }
        pictures |= {"training_methods": comparison_figure(study), "training_methods_steps": steps_figure(study)}
    again = _read(cards / AGAIN_FILE)
    if again is not None:
        made = {"conditions": conditions(again), "main": main_table(again), "differences": difference_table(again)}
        tables |= {f"again-{name}": table for name, table in made.items()}
        # Those of the package, whatever networks of these names a user has.
        tables["shipped"] = shipped_table({name: read_json(NETWORKS / f"{name}.json") for name in COMPACT})
    for name, result in ablations.items():
        if result is not None:
            tables[name] = ablation_table(result)
            pictures[f"training_methods_{name}"] = ablation_figure(name, result)
    for name, (picture, caption) in _CAPTIONS.items():
        if name in tables:
            tables[name] += f"\n\n![{caption}](images/{picture}.png)"
    page = docs / "training_methods.md"
    write_text(page, fill(page.read_text(encoding="utf-8"), tables, str(page)))
    written = [page]
    for name, figure in pictures.items():
        written.append(save_figure(figure, docs / "images" / f"{name}.png"))
    return written


def conditions(study: dict[str, Any]) -> str:
    """Markdown: what the numbers were made with."""
    settings, environment = study["settings"], study["environment"]
    machine = (study["cost"] or {}).get("machine", {})
    crops = f"{settings['train_samples']} / {settings['validation_samples']} / {settings['test_samples']}"
    rows = [
        ["heads", f"{len(settings['methods'])} methods x {len(settings['seeds'])} seeds"],
        ["sequences for training / validation / test", crops],
        ["steps x sequences", f"{settings['steps']} x {settings['sequences_per_step']}"],
        ["samples M", str(settings["num_samples"])],
        ["tracked sequences", str(study.get("tracked", {}).get("sequences", "none"))],
        ["commit, torch", f"{environment['commit'][:10]}, {environment['torch']}"],
        ["machine", f"{machine.get('processor', 'not recorded')}, GPU {machine.get('gpu', 'not recorded')}"],
    ]
    return markdown(["what", "value"], rows)


def _ablation_file(name: str) -> str:
    return f"training_methods_{name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None
