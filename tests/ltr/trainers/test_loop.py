"""The loop, end to end on tiny videos: it learns, resumes exactly, and stops on a non-finite loss."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tiny_training import tiny_recipe

from ltr.actors.dimp import DiMPActor
from ltr.admin.checkpoint import load_network, load_training_state
from ltr.train_settings.recipe import OptimiserSettings
from ltr.trainers import loop
from ltr.trainers.loop import NonFiniteLossError, RunSettings, make_optimiser, set_train_mode, train


@pytest.fixture
def recipe(monkeypatch):
    return tiny_recipe(monkeypatch)


def settings(folder, **changes):
    return RunSettings(workspace=folder, device="cpu", num_workers=0, log_interval=1, **changes)


def weights(path):
    return load_network(path).state_dict()


def test_a_run_learns_logs_and_leaves_a_network(recipe, tmp_path):
    result = train(replace(recipe, epochs=6), settings(tmp_path))
    lines = [json.loads(line) for line in (result.parent / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    epochs = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in steps] == list(range(18))
    assert len(epochs) == 6
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert {"loss/box", "loss/classifier", "gradient_norm", "waiting_share", "rate/bb_regressor"} <= set(steps[0])
    assert json.loads(result.with_suffix(".json").read_text())["recipe"]["name"] == "tiny"
    assert len(list(result.parent.glob("checkpoint_*.pt"))) == 3
    assert any((result.parent / "tensorboard").iterdir())
    load_network(result)


def test_a_resumed_run_is_the_run_without_a_stop_bit_for_bit(recipe, tmp_path, monkeypatch):
    whole = train(recipe, settings(tmp_path / "whole"))

    original = loop.train_epoch

    def killed_in_the_second_epoch(*arguments):
        if arguments[7] == 1:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(loop, "train_epoch", killed_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, settings(tmp_path / "stopped"))
    monkeypatch.setattr(loop, "train_epoch", original)
    torch.manual_seed(99)
    resumed = train(recipe, settings(tmp_path / "stopped"))

    first, second = weights(whole), weights(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_recipe_does_not_resume(recipe, tmp_path):
    train(replace(recipe, epochs=1), settings(tmp_path))
    with pytest.raises(ValueError, match="differ in seed"):
        train(replace(recipe, epochs=1, seed=5), settings(tmp_path))
    train(replace(recipe, epochs=1, seed=5), settings(tmp_path, fresh=True))


def test_a_non_finite_loss_stops_and_names_the_sequences(recipe, tmp_path, monkeypatch):
    original = DiMPActor.forward

    def poisoned(self, batch, generator):
        output = original(self, batch, generator)
        return output._replace(loss=output.loss * float("nan"))

    monkeypatch.setattr(DiMPActor, "forward", poisoned)
    with pytest.raises(NonFiniteLossError, match="square"):
        train(recipe, settings(tmp_path))
    kept = load_training_state(tmp_path / "tiny" / "nonfinite_batch.pt")["batch"]
    assert kept["train_images"].shape == (1, 4, 3, 96, 96)


def test_only_named_parameters_train_and_frozen_parts_keep_their_statistics(recipe):
    net = recipe.network.build()
    optimiser = make_optimiser(net, OptimiserSettings({"bb_regressor": 1e-3, "bb_regressor.iou_predictor": 1e-2}))
    names = {id(p): name for name, p in net.named_parameters()}
    groups = {g["name"]: {names[id(p)] for p in g["params"]} for g in optimiser.param_groups}
    assert groups["bb_regressor.iou_predictor"] == {
        "bb_regressor.iou_predictor.weight",
        "bb_regressor.iou_predictor.bias",
    }
    assert not groups["bb_regressor"] & groups["bb_regressor.iou_predictor"]
    assert not any(p.requires_grad for p in net.feature_extractor.parameters())
    set_train_mode(net)
    assert not net.feature_extractor._bn0.training
    assert net.bb_regressor.conv3_1r[1].training
    with pytest.raises(ValueError, match="names 'head'"):
        make_optimiser(net, OptimiserSettings({"head": 1e-3}))


def test_schedules():
    parameter = torch.nn.Parameter(torch.zeros(1))

    def rates(settings, epochs):
        optimiser = torch.optim.Adam([parameter], lr=1.0)
        schedule = loop.make_schedule(optimiser, settings, epochs, 2)
        found = []
        for _ in range(2 * epochs):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        return found

    stepwise = rates(OptimiserSettings({}, schedule="step", decay=0.5, decay_epochs=1), 3)
    assert stepwise == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    cosine = rates(OptimiserSettings({}, schedule="cosine", warmup_steps=2), 3)
    assert cosine[:3] == [0.5, 1.0, 1.0]
    assert cosine[4] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="schedule must be"):
        rates(OptimiserSettings({}, schedule="linear"), 1)


def test_with_a_frozen_backbone_the_weight_of_the_box_loss_changes_nothing(recipe, tmp_path):
    """Classifier and box head share no trained parameter, and Adam does not see the scale of a gradient."""
    light, heavy = (
        weights(train(replace(recipe, name=f"w{weight}", box=replace(recipe.box, weight=weight)), settings(tmp_path)))
        for weight in (0.1, 10.0)
    )
    start = recipe.network.build().state_dict()
    head = [name for name in light if name.startswith("bb_regressor") and name.endswith("weight")]
    moved = sum(float((light[name] - start[name]).square().sum()) for name in head)
    apart = sum(float((light[name] - heavy[name]).square().sum()) for name in head)
    assert apart < 1e-4 * moved
