"""The benchmark of training: its table has every objective, and what it times is what the actor computes."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_training import squares_recipe

from experiments.benchmarks import training
from ltr.errors import UserError


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(training, "load_recipe", lambda names: squares_recipe())


def test_every_objective_is_timed_relative_to_the_iou_loss(tiny, tmp_path, capsys):
    threads = torch.get_num_threads()
    target = tmp_path / "training.json"
    assert training.main(["--batch", "2", "--rounds", "1", "--threads", "1", "--json", str(target)]) == 0
    torch.set_num_threads(threads)
    results = json.loads(target.read_text())["results"]
    assert [result["objective"] for result in results] == list(training.OBJECTIVES)
    assert results[0]["relative"] == 1
    for result in results:
        assert result["step"] == pytest.approx(sum(result["parts"].values()))
        assert result["images_per_second"] == pytest.approx(4 / result["step"])
    assert "mlmcmc-8" in capsys.readouterr().out


def test_the_timed_parts_make_up_the_actors_loss():
    recipe = squares_recipe()
    batch, _ = training.synthetic_batch(recipe, 2)
    torch.manual_seed(0)
    actor = training.make_actor(recipe, recipe.network.build())
    optimiser = training.make_optimiser(actor.net, recipe.optimiser)
    training.set_train_mode(actor.net)
    state = {name: value.clone() for name, value in actor.state_dict().items()}
    actor(batch, torch.Generator().manual_seed(1)).loss.backward()
    optimiser.step()
    wanted = {name: value.clone() for name, value in actor.state_dict().items()}
    actor.load_state_dict(state)
    optimiser = training.make_optimiser(actor.net, recipe.optimiser)
    optimiser.zero_grad()
    training.timed_step(actor, optimiser, batch, torch.Generator().manual_seed(1), 0)
    assert all(torch.equal(value, wanted[name]) for name, value in actor.state_dict().items())


def test_without_cuda_the_table_says_not_run(tiny, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.main(["--device", "cuda"]) == 0
    assert "not run" in capsys.readouterr().out


def test_an_unknown_objective_is_named(tiny):
    with pytest.raises(UserError, match="did you mean 'nceplus'"):
        training.main(["--objectives", "nceplu"])
