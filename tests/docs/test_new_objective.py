"""docs/new_objective.md: its example runs as written, trains, and is as short as the page says."""

from __future__ import annotations

import ast
import json

import pytest
import torch
from doc_code import code_blocks, load_code
from tiny_tracking import tiny_atomnet
from tiny_training import BrightSquares, tiny_recipe

from ltr import run_training
from ltr.actors.tracking import Actor
from ltr.data.loader import make_loader
from ltr.data.processing import CropProcessing, CropSettings
from ltr.data.sampler import TrackingSampler
from ltr.ebm.methods import METHODS
from ltr.train_settings.recipe import BoxSettings

(CODE,) = code_blocks("new_objective.md")


@pytest.fixture
def example(monkeypatch, tmp_path):
    # So that the entry which the example makes goes away after the test.
    monkeypatch.setitem(METHODS, "ranking", METHODS["nce"])
    return load_code(CODE, tmp_path / "ranking.py")


def test_it_runs_from_the_command_line_and_is_logged(example, monkeypatch, tmp_path):
    recipe = tiny_recipe(monkeypatch)
    monkeypatch.setattr(run_training, "load_recipe", lambda names: recipe)
    arguments = ["tiny", "--workspace", str(tmp_path), "--device", "cpu", "--num-workers", "0"]
    changes = ("name=ranked", "box.objective=ranking", "box.arguments.slope=2", "epochs=1")
    assert example.main([*arguments, *(part for change in changes for part in ("--set", change))]) == 0
    lines = [json.loads(line) for line in (tmp_path / "ranked" / "log.jsonl").read_text().splitlines()]
    (validation,) = [line for line in lines if line["kind"] == "validation"]
    assert 0 <= validation["box/misranked"] <= 1
    assert (tmp_path / "ranked" / "network.safetensors").exists()


def test_it_teaches_a_box_head_to_rank(example):
    sampler = TrackingSampler(
        [(BrightSquares(), 1.0)],
        CropProcessing(CropSettings(96, 5.0, 1.0, 2.0, 0.1, 0.2)),
        samples_per_epoch=240,
        max_gap=5,
        num_train_frames=1,
        num_test_frames=1,
    )
    actor = Actor(tiny_atomnet().train(), BoxSettings("ranking", {"slope": 2.0, "num_samples": 32}, weight=1.0))
    optimiser = torch.optim.Adam(actor.net.bb_regressor.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)
    misranked = []
    for batch in make_loader(sampler, 8, num_workers=0):
        output = actor(batch, generator)
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        misranked.append(float(output.statistics["box/misranked"]))
    assert misranked[0] > 0.35
    assert sum(misranked[-10:]) / 10 < 0.25


def test_its_loss_is_zero_for_an_energy_steep_enough_and_not_for_a_flat_one(example):
    annotation = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    ranking = example.Ranking(slope=5.0)
    for steepness, wanted in ((5.001, True), (4.0, False)):
        output = ranking.loss(lambda points: -steepness * (points - annotation[:, None]).norm(dim=-1), annotation)  # noqa: B023
        assert output.loss.shape == (3,)
        assert bool((output.loss < 1e-4).all()) is wanted
        assert output.statistics["misranked"] == 0


def test_a_misspelt_setting_of_it_is_refused_with_the_nearest_name(example, monkeypatch, tmp_path, capsys):
    recipe = tiny_recipe(monkeypatch)
    monkeypatch.setattr(run_training, "load_recipe", lambda names: recipe)
    arguments = ["tiny", "--workspace", str(tmp_path), "--device", "cpu", "--set", "box.objective=ranking"]
    assert example.main([*arguments, "--set", "box.arguments.slop=2"]) == 2
    assert "did you mean 'slope'" in capsys.readouterr().err


def test_the_objective_is_twenty_lines():
    tree = ast.parse(CODE)
    parts = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.Assign))]
    assert [type(node) for node in parts] == [ast.ClassDef, ast.Assign]
    lines = CODE.splitlines()
    own = [line for node in parts for line in lines[node.lineno - 1 : node.end_lineno] if line.strip()]
    assert len(own) + 1 <= 20, "the decorator included"
