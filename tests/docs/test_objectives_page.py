"""docs/objectives.md: its table of losses is what the code gives, and it names every objective."""

from __future__ import annotations

import torch
from doc_code import DOCS
from torch import Tensor

from ltr.actors.iou_regression import BOX_METHODS
from ltr.ebm.methods import create_method

PAGE = (DOCS / "objectives.md").read_text(encoding="utf-8")
NAMES = ("mlis", "kldis", "nce", "nceplus", "iou")


def flat(points: Tensor) -> Tensor:
    return torch.zeros_like(points[..., 0])


def knowing(points: Tensor) -> Tensor:
    return -0.5 * (points / 0.05).square().sum(-1)


def table() -> str:
    """The losses of two energies; the annotation is the origin, a box of one by one pixel."""
    lines = ["| objective | flat | knows the box to 5 % | accuracy |", "|---|---|---|---|"]
    for name in NAMES:
        method = create_method(name, BOX_METHODS)
        outputs = [
            method.loss(energy, torch.zeros(4000, 4), torch.Generator().manual_seed(0)) for energy in (flat, knowing)
        ]
        losses = [f"{float(output.loss.mean()):.1f}" for output in outputs]
        accuracy = outputs[1].statistics.get("accuracy")
        known = "-" if name == "iou" else losses[1]
        lines.append(f"| `{name}` | {losses[0]} | {known} | {'-' if accuracy is None else f'{float(accuracy):.2f}'} |")
    return "\n".join(lines)


def test_the_documented_losses_are_those_of_the_code():
    assert table() in PAGE, f"docs/objectives.md must hold this table:\n\n{table()}"


def test_every_objective_is_named():
    assert [name for name in BOX_METHODS if f"`{name}`" not in PAGE] == []
