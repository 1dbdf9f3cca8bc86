"""The choice of the refinement step, on a tiny network."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_training import tiny_recipe

from experiments import refinement_choice
from ltr.admin.checkpoint import save_network
from ltr.errors import UserError
from ltr.train_settings.recipe import Refinement


@pytest.fixture
def network(monkeypatch, tmp_path):
    recipe = tiny_recipe(monkeypatch)
    monkeypatch.setattr(refinement_choice, "load_recipe", lambda names: recipe)
    torch.manual_seed(0)
    path = tmp_path / "network.safetensors"
    save_network(path, recipe.network.build(), recipe.network)
    return path


def test_the_table_is_sorted_and_written_with_what_made_it(network, tmp_path, monkeypatch, capsys):
    still = Refinement(steps=1, step_length=(0.0, 0.0), top_k=10)
    wild = Refinement(steps=1, step_length=(1e12, 0.0), top_k=10)
    monkeypatch.setattr(refinement_choice, "grid", lambda base: [wild, still])
    output = tmp_path / "choice.json"
    arguments = ["tiny", "--network", str(network), "--samples", "4", "--threads", "1", "--output", str(output)]
    assert refinement_choice.main(arguments) == 0
    result = json.loads(output.read_text())
    assert result["frames"] == 4
    assert result["recipe"]["name"] == "tiny"
    ious = [row["iou"] for row in result["settings"]]
    assert ious == sorted(ious, reverse=True)
    assert result["settings"][0]["step_length"] == [0.0, 0.0], "a step that leaves the image cannot be best"
    assert "4 frames" in capsys.readouterr().out


@pytest.mark.parametrize("space", ["relative", "absolute"])
def test_the_grid_has_every_combination_once_in_the_recipes_space(space):
    own = Refinement(space=space, top_k=2, step_length=3e-3)
    settings = refinement_choice.grid(own)
    pairs = len(refinement_choice.CENTRE_STEPS[space]) * len(refinement_choice.SIZE_FACTORS)
    assert len(set(settings)) == len(settings) == pairs * len(refinement_choice.STEPS) + 1
    assert settings[-1] == own, "what the recipe sets can be looked up whether or not the grid has it"
    assert refinement_choice.grid(settings[0]) == settings[:-1]
    assert {(setting.space, setting.top_k) for setting in settings} == {(space, 2)}


def test_the_grids_hold_what_the_public_trackers_use():
    """Steps 5 of 1 for IoU-Net, 10 of 0.0025 for KLD-IS (docs/reference.md, section 4)."""
    for space, steps, length in (("absolute", 5, 1.0), ("relative", 10, 2.5e-3)):
        found = [(setting.steps, setting.step_length) for setting in refinement_choice.grid(Refinement(space=space))]
        assert (steps, (length, length)) in found


def test_a_missing_network_is_one_line(tmp_path, network):
    with pytest.raises(UserError, match="no checkpoint"):
        refinement_choice.main(["tiny", "--network", str(tmp_path / "none.safetensors")])
