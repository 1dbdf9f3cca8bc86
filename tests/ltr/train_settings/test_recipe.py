"""Recipes: what they share, and changes from the command line."""

from __future__ import annotations

import json

import pytest

from ltr.ebm.methods import create_method
from ltr.run_training import load_recipe, main, recipes
from ltr.train_settings.recipe import with_changes


@pytest.mark.parametrize(
    ("name", "objective"), [("dimp_kldis", "kldis"), ("dimp_nce", "nce"), ("dimp_nceplus", "nceplus")]
)
def test_the_energy_trackers_differ_from_super_dimp_by_the_objective_only(name, objective):
    recipe, base = load_recipe([name]).to_dict(), load_recipe(["super_dimp"]).to_dict()
    assert recipe["box"]["objective"] == objective
    assert {key for key in base if recipe[key] != base[key]} <= {"name", "box"}


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_found_by_its_name_and_is_json(name):
    recipe = load_recipe([name])
    assert recipe.name == name
    assert json.loads(json.dumps(recipe.to_dict()))["box"] == (recipe.box and vars(recipe.box))


@pytest.mark.parametrize("name", [name for name in recipes() if "_lite" in name or name == "dimp_nceplus"])
def test_another_objective_is_one_setting(name):
    """No argument of the recipe's own objective is left over that the other would refuse."""
    changed = with_changes(load_recipe([name]), ["box.objective=mlis"])
    create_method(changed.box.objective, **changed.box.arguments)


def test_changes_from_the_command_line():
    recipe = load_recipe(["dimp_nceplus_lite"])
    changed = with_changes(
        recipe, ["box.weight=2", "epochs=3", "box.arguments.beta=0.3", "optimiser.learning_rates.bb_regressor=5e-4"]
    )
    assert changed.box.weight == 2.0 and isinstance(changed.box.weight, float)
    assert changed.epochs == 3
    assert changed.box.arguments["beta"] == 0.3
    assert changed.optimiser.learning_rates["bb_regressor"] == 5e-4
    assert recipe.epochs != 3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("box.wieght=3", "did you mean 'weight'"),
        ("epochs", "give KEY=VALUE"),
        ("epochs=many", "must be int, such as"),
        ("epochs.x=1", "plain value"),
        ("box=3", "group of settings"),
        ("box.weight=1e999", "weight must be a finite number, not inf"),
        ("box.arguments.num_samples=1e999", "arguments must be a finite number"),
        ("crop.search_area_factor=1e9", "search_area_factor must lie between 0.001 and 1000"),
        ("optimiser.learning_rates.bb_regressor=fast", "learning_rates must be a number, not 'fast'"),
        ("optimiser.learning_rates.bb_regressor=-1", "learning_rates must lie between 0 and"),
        ("data.samples_per_epoch=0", "samples_per_epoch must lie between 1 and"),
        ("refinement.starts=1000000000", "starts must lie between 1 and 10000"),
        ("refinement.step_control=yes", "step_control must be bool, such as"),
        ("epochs=True", "epochs must be int, such as"),
    ],
)
def test_wrong_changes_are_explained(assignment, message):
    with pytest.raises(ValueError, match=message):
        with_changes(load_recipe(["dimp_nceplus_lite"]), [assignment])


def test_a_part_that_a_recipe_does_not_have_cannot_be_changed():
    with pytest.raises(ValueError, match="this Recipe has no classifier, so no 'loss' of it"):
        with_changes(load_recipe(["atom"]), ["classifier.loss=kl"])


def test_the_command_names_the_nearest_recipe(capsys):
    assert main(["dimp_ncepluss"]) == 2
    assert "did you mean 'dimp_nceplus'" in capsys.readouterr().err
    assert main(["atom", "dimp_nceplus"]) == 2
    assert "is in module 'dimp'" in capsys.readouterr().err


def test_the_command_says_where_a_data_set_should_be(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(tmp_path / "paths.toml"))
    monkeypatch.delenv("EBM_TRACKING_LITE", raising=False)
    assert main(["dimp_nceplus_lite", "--workspace", str(tmp_path), "--device", "cpu"]) == 2
    assert "EBM_TRACKING_LITE" in capsys.readouterr().err


def test_print_shows_the_whole_recipe(capsys):
    assert main(["dimp_nceplus_lite", "--set", "epochs=2", "--print"]) == 0
    assert '"epochs": 2' in capsys.readouterr().out


def test_data_sets_are_looked_for_before_weights_are_fetched(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(tmp_path / "paths.toml"))
    monkeypatch.delenv("EBM_TRACKING_GOT10K", raising=False)
    assert main(["dimp", "dimp_nceplus", "--workspace", str(tmp_path), "--device", "cpu"]) == 2
    assert "EBM_TRACKING_GOT10K" in capsys.readouterr().err


def test_weights_that_cannot_be_fetched_are_one_line(capsys, monkeypatch, tmp_path):
    def offline(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("ltr.trainers.loop.make_samplers", lambda recipe: (range(40), range(40)))
    assert main(["dimp_nceplus", "--workspace", str(tmp_path), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot download the ImageNet weights of resnet50")
    assert error.count("\n") == 1
