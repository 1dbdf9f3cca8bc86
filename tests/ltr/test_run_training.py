"""The training command: exit statuses, a dry run, and settings that are refused."""

from __future__ import annotations

import json
import sys

import cv2
import pytest
import torch
from tiny_training import poison, squares_recipe, tiny_recipe

from ltr import run_training
from ltr.run_training import main
from ltr.trainers import loop
from ltr.trainers.dry_run import drawn_proposals, parameter_table
from ltr.trainers.optimisation import make_optimiser


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Runs the command on the tiny recipe."""
    recipe = tiny_recipe(monkeypatch)
    monkeypatch.setattr(run_training, "load_recipe", lambda names: recipe)
    fixed = ["tiny", "--workspace", str(tmp_path), "--device", "cpu", "--num-workers", "0"]
    return lambda *options: main([*fixed, *options])


def test_a_dry_run_prints_the_recipe_and_draws_a_batch_without_training(command, tmp_path, capsys):
    assert command("--dry-run") == 0
    printed = capsys.readouterr().out
    recipe, _, rest = printed.partition("\n}\n")
    assert json.loads(recipe + "}") == json.loads(json.dumps(squares_recipe().to_dict()))
    assert "bb_regressor" in rest
    assert "frozen" in rest
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["dry_run.png"]
    picture = cv2.imread(str(tmp_path / "tiny" / "dry_run.png"))
    # Four sequences; a train crop, a test crop and a label map each, of which the crops show a bright square in noise.
    assert picture.shape[0] > picture.shape[1]
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    lime = (green - blue > 100) & (green - red > 100)
    orange = (red - blue > 100) & (green - blue > 50) & (red > green)
    assert lime.sum() > 500
    assert orange.sum() > 500


def test_the_table_counts_every_parameter_once():
    net = squares_recipe().network.build()
    table = parameter_table(net, make_optimiser(net, squares_recipe().optimiser))
    counts = [int(line.split()[1].replace(",", "")) for line in table.splitlines()[1:]]
    assert sum(counts) == sum(parameter.numel() for parameter in net.parameters())
    assert counts[-1] == sum(parameter.numel() for parameter in net.feature_extractor.parameters())


def test_drawn_proposals_are_those_of_the_objective(monkeypatch):
    recipe = tiny_recipe(monkeypatch)
    sampler = loop.make_sampler(recipe, recipe.data.train, 4, 0)
    batch = next(iter(loop.make_loader(sampler, 4, 0)))
    actor = loop.make_actor(recipe, recipe.network.build())
    boxes = drawn_proposals(actor, batch, torch.Generator().manual_seed(0))
    # 16 samples and NCE+'s positive, of which half are drawn within 5 % of the box.
    assert boxes.shape == (4, 17, 4)
    apart = (boxes - batch["test_boxes"][0].unsqueeze(1)).abs().amax(-1)
    assert (apart < 0.15 * 24 * 4).float().mean() > 0.3


def test_the_status_says_what_stopped_a_run(command, monkeypatch, capsys):
    monkeypatch.setattr(loop, "set_up", loop.set_up)
    poison(2)
    assert command("--set", "epochs=1") == 3
    assert capsys.readouterr().err.startswith("error: the loss is not finite at step 2")

    assert command("--set", "epoch=1") == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert command("--set", "micro_batches=3") == 2
    assert "does not divide batch_size=4" in capsys.readouterr().err
    assert command("--keep", "0") == 2
    assert "keep must be at least 1" in capsys.readouterr().err

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_training, "train", interrupted)
    assert command() == 130


def test_a_missing_accelerate_is_one_line(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert command() == 2
    assert capsys.readouterr().err == "error: training needs Accelerate: pip install 'ebm-tracking[train]'\n"


def test_a_recipe_may_come_from_a_file(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from ltr.train_settings.dimp import dimp_nceplus_lite\n"
        "def recipe():\n    return replace(dimp_nceplus_lite.recipe(), name='mine')\n"
    )
    assert main([str(file), "--print", "--set", "epochs=3"]) == 0
    assert '"name": "mine"' in (printed := capsys.readouterr().out) and '"epochs": 3' in printed
    file.write_text("recipe = int\n")
    assert main([str(file), "--print"]) == 2
    assert "has no function recipe() that returns a Recipe" in capsys.readouterr().err
    assert main([str(tmp_path / "none.py"), "--print"]) == 2
    assert "none.py: no such recipe file" in capsys.readouterr().err
