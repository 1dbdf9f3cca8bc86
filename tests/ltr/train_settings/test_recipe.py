"""Recipes: SPEC section 3's values, and changes from the command line."""

from __future__ import annotations

import pytest

from ltr.run_training import load_recipe, main, recipes
from ltr.train_settings.recipe import with_changes


def test_super_dimp_has_the_values_of_the_specification():
    recipe = load_recipe(["dimp", "super_dimp"])
    assert (recipe.batch_size, recipe.epochs, recipe.data.samples_per_epoch, recipe.data.max_gap) == (
        20,
        50,
        40000,
        200,
    )
    assert (recipe.data.train_frames, recipe.data.test_frames) == (3, 3)
    crop = recipe.crop
    assert (crop.output_size, crop.search_area_factor, crop.border, crop.max_scale_change) == (
        352,
        6,
        "inside_major",
        1.5,
    )
    assert (crop.centre_jitter_train, crop.centre_jitter_test) == (3, 5.5)
    assert (crop.scale_jitter_train, crop.scale_jitter_test) == (0.25, 0.5)
    assert (crop.grayscale_probability, crop.brightness_jitter, crop.flip_probability) == (0.05, 0.2, 0.5)
    assert (recipe.box.objective, recipe.box.weight) == ("kldis", 0.01)
    clf = recipe.classifier
    assert (clf.final_weight, clf.initial_weight, clf.iteration_weight, clf.hinge_threshold) == (100, 100, 400, 0.05)
    assert clf.label_sigma_factor == pytest.approx(1 / 24)
    assert recipe.optimiser.learning_rates == {
        "classifier.filter_initializer": 5e-5,
        "classifier.filter_optimizer": 5e-4,
        "classifier.feature_extractor": 5e-5,
        "bb_regressor": 1e-3,
        "feature_extractor.layer3": 2e-5,
    }
    assert (recipe.optimiser.schedule, recipe.optimiser.decay, recipe.optimiser.decay_epochs) == ("step", 0.2, 15)
    assert recipe.network.arguments["frozen_backbone_layers"] == ["conv1", "bn1", "layer1", "layer2"]
    assert recipe.network.arguments["out_feature_dim"] == 512


@pytest.mark.parametrize(
    ("name", "objective"), [("dimp_kldis", "kldis"), ("dimp_nce", "nce"), ("dimp_nceplus", "nceplus")]
)
def test_the_energy_trackers_differ_from_super_dimp_by_the_objective_only(name, objective):
    recipe, base = load_recipe([name]).to_dict(), load_recipe(["super_dimp"]).to_dict()
    assert recipe["box"]["objective"] == objective
    assert {key for key in base if recipe[key] != base[key]} <= {"name", "box"}


def test_every_recipe_is_found_by_its_name_and_is_json():
    for name in recipes():
        assert load_recipe([name]).name == name


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
        ("epochs", "not of the form key=value"),
        ("epochs=many", "wants a int"),
        ("epochs.x=1", "plain value"),
        ("box=3", "group of settings"),
    ],
)
def test_wrong_changes_are_explained(assignment, message):
    with pytest.raises(ValueError, match=message):
        with_changes(load_recipe(["dimp_nceplus_lite"]), [assignment])


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
    monkeypatch.setattr("ltr.trainers.loop.make_sampler", lambda *arguments: range(40))
    assert main(["dimp_nceplus", "--workspace", str(tmp_path), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot download the ImageNet weights of resnet50")
    assert error.count("\n") == 1
