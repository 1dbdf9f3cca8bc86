"""The comparison of a centre head with the energy on its tokens, on a miniature data folder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_training_sets import make_lite, set_environment

from experiments import token_energy
from ltr.actors.ostrack import OSTrackActor
from ltr.admin.checkpoint import save_network
from ltr.errors import UserError
from ltr.models.tracking.ostrack import EnergyOSTrack
from ltr.ops.boxes import iou
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Recipe, with_changes

SMALL = {"width": 24, "depth": 1, "heads": 3, "head_channels": 16, "box_channels": 8}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    made = make_lite(tmp_path / "data")
    set_environment(monkeypatch, {"EBM_TRACKING_LITE": str(made), "EBM_TRACKING_CACHE": str(tmp_path)})
    full = load_recipe(["ostrack_toy_nceplus"])
    network = replace(full.network, arguments={**full.network.arguments, **SMALL})
    return with_changes(replace(full, network=network), ["batch_size=2"])


def test_both_heads_are_compared_on_the_same_crops(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "network.safetensors"
    save_network(path, recipe.network.build(), recipe.network)
    monkeypatch.setattr(token_energy, "load_recipe", lambda names: recipe)
    monkeypatch.setattr(token_energy, "SETTINGS", token_energy.SETTINGS[:2])
    assert token_energy.main(["--network", str(path), "--samples", "8"]) == 0
    printed = capsys.readouterr().out
    crops, sequences = map(int, re.findall(r"(\d+) crops of (\d+) held-out sequences", printed)[0])
    assert 0 < sequences < 8 and crops == 3 * sequences, "one half chooses, the other is measured"
    assert "| of the centre head" in printed and "| held-out, " in printed


def test_boxes_of_the_centre_head_are_compared_in_exact_coordinates(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that finds every label has an IoU of 1 with the true boxes, which lie elsewhere by a part of a pixel."""
    net = recipe.network.build()
    assert isinstance(net, EnergyOSTrack)
    labels: list[torch.Tensor] = []
    locate = OSTrackActor.locate

    def noted(actor: OSTrackActor, batch: dict[str, torch.Tensor]) -> object:
        labels.append(batch["test_labels"].flatten(0, 1) / recipe.crop.output_size)
        return locate(actor, batch)

    def found(maps: object) -> torch.Tensor:
        box = labels[-1]
        return torch.cat((box[:, :2] + box[:, 2:] / 2, box[:, 2:]), dim=1)

    monkeypatch.setattr(OSTrackActor, "locate", noted)
    monkeypatch.setattr(token_energy, "decode", found)
    monkeypatch.setattr(token_energy, "SETTINGS", token_energy.SETTINGS[:1])
    _, (true, boxes, *_) = token_energy.observe(OSTrackActor(net, recipe.box).eval(), recipe, 8)
    true = torch.from_numpy(true)
    assert iou(torch.from_numpy(boxes), true).min() > 0.9999
    shifted = torch.cat(labels) * recipe.crop.output_size
    assert iou(shifted, true).max() < 0.9999


def test_the_gain_counts_crops_and_resamples_sequences() -> None:
    sequences = np.array(["a", "a", "a", "b"])
    before, after = np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.2, 0.3, 0.4, 0.8])
    printed = token_energy.overlaps(sequences, before, after)
    # Means over crops: 0.3 and 0.425. Drawing 'a' twice gives 0.1, 'b' twice 0.2.
    assert "| 0.300 " in printed and "| 0.425 " in printed
    assert "+0.125 (+0.100 to +0.200)" in printed
    assert "| 25.0 %    | 0.0 %" in printed and "| 25.0 %    | 25.0 %" in printed


def test_a_network_without_an_energy_is_one_line(recipe: Recipe, tmp_path: Path) -> None:
    arguments = {key: value for key, value in recipe.network.arguments.items() if key != "box_channels"}
    constructor = replace(recipe.network, name="ostrack", arguments=arguments)
    path = tmp_path / "network.safetensors"
    save_network(path, constructor.build(), constructor)
    with pytest.raises(UserError, match="has no energy on OSTrack's tokens"):
        token_energy.study(recipe, path, 8)
