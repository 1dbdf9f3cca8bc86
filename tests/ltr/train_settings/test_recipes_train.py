"""Every recipe trains on miniature copies of its data sets and goes on where it stopped; real networks take a step.

The copies hold every sequence of the official splits, so data settings stay as they are; networks are narrow.
"""

from __future__ import annotations

import functools
import json

import pytest
import torch
from mini_training_sets import make_all, set_environment
from tiny_networks import make_networks_narrow

from ltr.actors.tracking import make_actor
from ltr.admin.checkpoint import load_network, save_network
from ltr.data.loader import make_loader
from ltr.run_training import load_recipe, recipes
from ltr.train_settings.recipe import Recipe, with_changes
from ltr.train_settings.sources import open_groups
from ltr.trainers.checkpoints import checkpoints
from ltr.trainers.loop import RunSettings, train
from ltr.trainers.optimisation import make_optimiser
from ltr.trainers.run import make_samplers

SMALL = [
    "micro_batches=1",
    "network.arguments.backbone_pretrained=False",
    "batch_size=2",
    "crop.output_size=96",
    "data.train_frames=1",
    "data.test_frames=1",
]
NARROW_OSTRACK = [
    # Miniature videos have 12 frames.
    "data.least_frames=12",
    "data.least_still_side=0",
    "network.arguments.search_size=96",
    "network.arguments.width=24",
    "network.arguments.depth=2",
    "network.arguments.heads=3",
    "network.arguments.head_channels=16",
    "network.arguments.elimination_blocks=[1]",
]
SHORT = [
    "epochs=2",
    "data.samples_per_epoch=4",
    "data.validation_samples=2",
    "refinement.steps=1",
    "refinement.starts=3",
    "tracking.interval=0",
]


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("data")), functools.cache(open_groups)


@pytest.fixture
def data(copies, monkeypatch):
    """Miniature data sets, each opened once for all recipes; no pictures of curves, which would take the most time."""
    variables, open_once = copies
    set_environment(monkeypatch, variables)
    monkeypatch.setattr("ltr.trainers.run.open_groups", open_once)
    monkeypatch.setattr("ltr.trainers.loop.draw_curves", lambda *arguments: None)


def small(name: str, *changes: str) -> Recipe:
    recipe = load_recipe([name])
    network = [] if recipe.classifier is None else ["network.arguments.optim_iter=2"]
    if recipe.box is not None:
        boxes = "num_proposals" if recipe.box.objective == "iou" else "num_samples"
        network.append(f"box.arguments.{boxes}=6")
    return with_changes(recipe, [*SMALL, *network, *changes])


def narrow(name: str) -> Recipe:
    """A recipe for a few seconds. The tracker's network has few channels; everything else is the recipe's own."""
    recipe = small(name, *SHORT)
    if recipe.network.name == "dimpnet_lite0":
        return with_changes(recipe, ["network.arguments.box_dim=8", "network.arguments.out_feature_dim=8"])
    if recipe.network.name.startswith("ostrack"):
        width = ["network.arguments.box_channels=8"] if recipe.box else []
        return with_changes(recipe, [*NARROW_OSTRACK, *width])
    return recipe if recipe.classifier is None else with_changes(recipe, ["network.arguments.out_feature_dim=8"])


def weights(path):
    return load_network(path).state_dict()


@pytest.mark.parametrize("name", recipes())
def test_two_epochs_and_resuming_after_the_first_give_the_same_network(name, data, monkeypatch, tmp_path, capsys):
    make_networks_narrow(monkeypatch)
    recipe = narrow(name)
    torch.manual_seed(recipe.seed)
    first = recipe.network.build()
    if recipe.network.name == "ostrack_energy":
        save_network(tmp_path / "start.safetensors", first, recipe.network)
        recipe = with_changes(recipe, [f"start={tmp_path / 'start.safetensors'}"])
    run = RunSettings(workspace=tmp_path, device="cpu", num_workers=0, log_interval=1)
    result = train(recipe, run)
    whole = weights(result)
    folder = result.parent
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines].count("train") == 4
    assert all(line["loss"] == line["loss"] for line in lines if line["kind"] == "train")
    assert ({"iou/start", "iou/refined", "loss/box"} <= set(lines[-1])) == (recipe.box is not None)

    start = first.state_dict()
    moved = {key.split(".")[0] for key in whole if key.endswith("weight") and not torch.equal(whole[key], start[key])}
    assert moved == {prefix.split(".")[0] for prefix in recipe.optimiser.learning_rates}

    kept, last = checkpoints(folder)
    last.unlink()
    result.unlink()
    torch.manual_seed(99)
    capsys.readouterr()
    assert train(recipe, run) == result
    assert f"resuming {name} after step 2" in capsys.readouterr().out
    again = weights(result)
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert kept.exists()


@pytest.mark.parametrize("name", ["dimp18", "dimp50", "prdimp18", "prdimp50", "super_dimp", "atom_nceplus"])
def test_the_real_network_takes_a_step_in_which_every_trained_parameter_has_a_gradient(name, data):
    """Which is what DistributedDataParallel asks of a step."""
    torch.manual_seed(0)
    recipe = small(name)
    net = recipe.network.build()
    actor = make_actor(recipe, net)
    make_optimiser(net, recipe.optimiser)
    sampler, _ = make_samplers(with_changes(recipe, ["data.samples_per_epoch=2"]))
    (batch,) = make_loader(sampler, 2, 0)
    output = actor.train()(batch, torch.Generator().manual_seed(0))
    assert output.loss.isfinite()
    output.loss.backward()
    trained = {key: parameter.grad for key, parameter in net.named_parameters() if parameter.requires_grad}
    assert [key for key, gradient in trained.items() if gradient is None] == []
    wanted = set(recipe.optimiser.learning_rates)
    assert {prefix for prefix in wanted if any(key.startswith(prefix) for key in trained)} == wanted
    if "feature_extractor" in wanted:
        assert {"feature_extractor.conv1.weight", "feature_extractor.layer1.0.conv1.weight"} <= trained.keys()
    else:
        assert not any(key.startswith(("feature_extractor.conv1", "feature_extractor.layer2")) for key in trained)
