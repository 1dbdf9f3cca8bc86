"""Finding hard samples, on a tiny network, and training with them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_training import tiny_recipe

from experiments import hard_samples
from ltr.admin.checkpoint import save_network
from ltr.errors import UserError
from ltr.trainers.run import make_samplers


@pytest.fixture
def recipe(monkeypatch):
    recipe = tiny_recipe(monkeypatch)
    monkeypatch.setattr(hard_samples, "load_recipe", lambda names: recipe)
    return recipe


@pytest.fixture
def network(recipe, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "network.safetensors"
    save_network(path, recipe.network.build(), recipe.network)
    return path


def test_the_hardest_come_first_without_those_above_them():
    losses = [0.1, 5.0, 3.0, 9.0, 1.0, 2.0, 4.0, 0.5, 0.2, 0.3]
    assert hard_samples.hardest(losses, skipped=0.1, kept=0.3) == [1, 6, 2]
    assert hard_samples.hardest(losses, skipped=0.0, kept=0.2) == [3, 1]
    with pytest.raises(UserError, match="no sample is left of 10"):
        hard_samples.hardest(losses, skipped=0.1, kept=0.01)
    with pytest.raises(UserError, match="not finite"):
        hard_samples.hardest([1.0, float("nan"), 2.0], skipped=0.0, kept=0.5)
    for shares in ({"skipped": -0.1, "kept": 0.2}, {"skipped": 0.0, "kept": 20.0}):
        with pytest.raises(UserError, match="are shares between 0 and 1"):
            hard_samples.hardest(losses, **shares)


def test_what_is_found_goes_into_a_training(recipe, network, tmp_path, capsys):
    output = tmp_path / "hard.json"
    arguments = ["tiny", "--network", str(network), "--samples", "12", "--kept", "0.25"]
    assert hard_samples.main([*arguments, "--skipped", "0", "--output", str(output)]) == 0
    content = json.loads(output.read_text())
    losses = [row["loss"] for row in content["samples"]]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True) and losses[-1] > content["mean_loss"]
    assert "3 of 12 samples" in capsys.readouterr().out
    with Image.open(output.with_suffix(".png")) as picture:
        assert picture.height > 300

    data = replace(recipe.data, hard_samples=str(output), hard_share=1.0)
    train, validation = make_samplers(replace(recipe, data=data))
    assert {train[(0, index)]["source"] for index in range(12)} <= {row["source"] for row in content["samples"]}
    assert not validation.hard, "validation stays as it is"


def test_the_loss_of_a_sample_is_that_of_the_network_in_eval_mode(recipe, network):
    sampler = make_samplers(recipe)[0]
    first = hard_samples.losses_of(recipe, sampler, network, "cpu", 0)
    assert first == hard_samples.losses_of(recipe, sampler, network, "cpu", 0)
    assert len(first) == 12 and len(set(first)) > 6
