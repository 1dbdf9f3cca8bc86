"""The training command: exit statuses, a dry run, and settings that are refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import cv2
import pytest
import torch
from tiny_training import BrightSquares, at_every_loss, poison, squares_recipe, tiny_recipe

from ltr import run_training, train_settings
from ltr.run_training import load_recipe, main, recipes
from ltr.train_settings import sources
from ltr.train_settings.recipe import DataSource
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


@pytest.mark.parametrize(
    "full",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("x: can't allocate memory: 9"),
    ],
)
def test_a_full_memory_is_one_line_with_what_to_do(command, monkeypatch, capsys, full):
    def fail(training, output):
        raise full

    monkeypatch.setattr(loop, "set_up", loop.set_up)
    at_every_loss(fail)
    assert command("--set", "epochs=1") == 2
    error = capsys.readouterr().err
    assert "cpu is out of memory at step 1: give it --set micro_batches=2 (the same batch in smaller parts)" in error
    assert error.startswith("error: ") and error.count("\n") == 1


def test_all_missing_data_sets_are_named_and_a_dry_run_shows_the_recipe_first(monkeypatch, tmp_path, capsys):
    names = ("LASOT", "GOT10K", "TRACKINGNET", "COCO")
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(tmp_path / "none.toml"))
    for name in names:
        monkeypatch.delenv(f"EBM_TRACKING_{name}", raising=False)
    for option in ((), ("--dry-run",)):
        assert main(["dimp_nceplus", "--workspace", str(tmp_path / "runs"), "--device", "cpu", *option]) == 2
        printed = capsys.readouterr()
        # GOT-10k is both trained on and validated on.
        assert [printed.err.count(f"Set EBM_TRACKING_{name}=") for name in names] == [1, 1, 1, 1]
        assert printed.err.count("\n") == 1
    assert '"name": "dimp_nceplus"' in printed.out and "feature_extractor.layer3" in printed.out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
@pytest.mark.parametrize("which", ["train", "validation"])
def test_an_empty_split_is_named_before_training(command, monkeypatch, tmp_path, capsys, which, option):
    empty = type("Empty", (BrightSquares,), {"__len__": lambda self: 0})()
    monkeypatch.setitem(sources.SOURCES, "folder", lambda source, seed: [(empty, 1.0)])
    recipe = squares_recipe()
    none = (DataSource("folder", "val"),)
    changed = replace(recipe, data=replace(recipe.data, **{which: (*recipe.data.train, *none)}))
    monkeypatch.setattr(run_training, "load_recipe", lambda names: changed)
    assert command(*option) == 2
    assert "data set 'folder' has no sequence in its split 'val'" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_missing_accelerate_is_one_line(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert command() == 2
    assert capsys.readouterr().err == "error: training needs Accelerate: pip install 'ebm-tracking[train]'\n"


def test_own_recipes_are_functions_or_files(tmp_path, monkeypatch):
    folder = tmp_path / "own_module"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from ltr.train_settings.dimp import dimp18\n\ndef own_a():\n    return dimp18()\n\nown_b = _none = own_a\n"
    )
    (folder / "own_b.py").write_text(
        "from ltr.train_settings.dimp import dimp50\n\ndef recipe():\n    return dimp50.recipe()\n"
    )
    (folder / "own_broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(train_settings, "__path__", [*train_settings.__path__, str(tmp_path)])
    assert [name for name in recipes() if name.startswith("own_")] == ["own_a", "own_b", "own_broken"]
    assert load_recipe(["own_module", "own_a"]).name == "dimp18"
    assert load_recipe(["own_b"]).name == "dimp50", "the file goes before the function"
    with pytest.raises(ImportError, match="nothing_of_this_name"):
        load_recipe(["own_broken"])


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
