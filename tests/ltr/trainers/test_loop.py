"""The loop, end to end on tiny videos: it learns, resumes exactly, keeps the best, and stops on what is not finite."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tiny_training import poison, tiny_recipe

from ltr.actors.tracking import make_actor
from ltr.admin.checkpoint import CheckpointError, load_network, load_training_state
from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import SampleError
from ltr.train_settings.recipe import TrackingValidation, with_changes
from ltr.trainers import loop
from ltr.trainers.checkpoints import checkpoints
from ltr.trainers.log import read_log
from ltr.trainers.loop import NonFiniteLossError, RunSettings, train

ONE_EPOCH = {"epochs": 1, "optimiser.schedule": "step"}


@pytest.fixture
def recipe(monkeypatch):
    return tiny_recipe(monkeypatch)


def settings(folder, **changes):
    return RunSettings(workspace=folder, device="cpu", num_workers=0, log_interval=1, **changes)


def weights(path):
    return load_network(path).state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_goes_on_from_a_network(recipe, tmp_path):
    first = train(replace(recipe, epochs=1, seed=5), settings(tmp_path / "first"))
    optimiser = replace(recipe.optimiser, learning_rates=dict.fromkeys(recipe.optimiser.learning_rates, 0.0))
    onward = replace(recipe, epochs=1, optimiser=optimiser, batch_norm="frozen", start=str(first))
    assert same(weights(train(onward, settings(tmp_path / "second"))), weights(first))
    other = replace(onward, network=NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 64}))
    with pytest.raises(CheckpointError, match=r"first.*network\.safetensors: its weights do not fit the recipe's"):
        train(other, settings(tmp_path / "third"))


def test_a_run_learns_logs_and_leaves_a_network(recipe, tmp_path):
    result = train(replace(recipe, epochs=6), settings(tmp_path))
    folder = result.parent
    steps = [line for line in read_log(folder) if line["kind"] == "train"]
    epochs = [line for line in read_log(folder) if line["kind"] == "validation"]
    assert [line["step"] for line in steps] == list(range(1, 19))
    assert [line["step"] for line in epochs] == [3, 6, 9, 12, 15, 18]
    assert epochs[-1]["loss/classifier"] < epochs[0]["loss/classifier"]
    wanted = {"loss/box", "loss/classifier", "box/effective_samples", "box/margin", "box/accuracy"}
    wanted |= {"gradient_norm", "gradient_norm/classifier", "gradient_norm/bb_regressor"}
    wanted |= {"rate/bb_regressor", "images_per_second", "waiting_share"}
    assert wanted <= set(steps[0])
    parts = (steps[0]["gradient_norm/classifier"], steps[0]["gradient_norm/bb_regressor"])
    assert steps[0]["gradient_norm"] == pytest.approx((parts[0] ** 2 + parts[1] ** 2) ** 0.5, rel=1e-5)
    assert json.loads(result.with_suffix(".json").read_text())["recipe"]["name"] == "tiny"
    assert any((folder / "tensorboard").iterdir())
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")

    best = max(epochs, key=lambda line: line["iou/refined"])
    kept = load_training_state(checkpoints(folder)[-1])["best"]
    assert (kept["epoch"], kept["value"]) == (best["epoch"], best["iou/refined"])
    names = [path.name for path in checkpoints(folder)]
    assert names[-3:] == [f"checkpoint_{step:08d}.pt" for step in (12, 15, 18)]
    assert set(names) == {*names[-3:], f"checkpoint_{best['step']:08d}.pt"}
    stored = load_training_state(folder / f"checkpoint_{best['step']:08d}.pt")["net"]
    assert same(weights(folder / "best_network.safetensors"), stored)


def test_another_recipe_does_not_resume(recipe, tmp_path):
    first = train(replace(recipe, epochs=1), settings(tmp_path))
    before = first.read_bytes()
    with pytest.raises(ValueError, match="differ in seed"):
        train(replace(recipe, epochs=1, seed=5), settings(tmp_path))
    train(replace(recipe, epochs=1, seed=5), settings(tmp_path, fresh=True))
    assert (tmp_path / "tiny.1" / "network.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_named_and_the_run_is_the_same_from_the_one_before(recipe, tmp_path, capsys):
    run = settings(tmp_path, checkpoint_interval=2)
    result = train(recipe, run)
    whole = weights(result)
    log = (result.parent / "log.jsonl").read_text().splitlines()
    newest, before = checkpoints(result.parent)[-1:-3:-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    result.unlink()
    capsys.readouterr()
    train(recipe, run)
    output = capsys.readouterr()
    assert newest.name in output.err
    assert f"from {before}" in output.out
    assert newest.with_suffix(".pt.damaged").exists()
    assert same(weights(result), whole)
    assert len((result.parent / "log.jsonl").read_text().splitlines()) == len(log)

    for path in checkpoints(result.parent):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the 3 checkpoints"):
        train(recipe, run)


def test_a_full_disk_is_one_error_and_leaves_older_checkpoints_whole(recipe, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    train(replace(recipe, epochs=1), settings(tmp_path))
    folder = tmp_path / "tiny"
    kept = {path: path.read_bytes() for path in folder.glob("checkpoint_*")}
    size = min(len(content) for content in kept.values())
    monkeypatch.setattr(loop, "draw_curves", lambda folder: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    changed = replace(recipe, epochs=1, name="second")
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(OSError, match=r"checkpoint_00000003\.pt"):
            train(changed, settings(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in kept} == kept
    assert not list((tmp_path / "second").glob("checkpoint_*"))
    assert train(changed, settings(tmp_path)).exists()


def test_a_non_finite_loss_stops_and_keeps_batch_and_state(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "set_up", loop.set_up)
    poison(5)
    changed = replace(recipe, micro_batches=2)
    with pytest.raises(NonFiniteLossError, match=r"loss is not finite at step 5, epoch 2: .*squares:square"):
        train(changed, settings(tmp_path, checkpoint_interval=1))
    kept = load_training_state(tmp_path / "tiny" / "nonfinite_0.pt")
    assert [batch["train_images"].shape for batch in kept["batches"]] == [(1, 2, 3, 96, 96)] * 2
    before = load_training_state(tmp_path / "tiny" / "checkpoint_00000004.pt")
    assert kept["step"] == 4
    assert same(kept["net"], before["net"])
    assert kept["optimiser"]["state"][0]["step"] == before["optimiser"]["state"][0]["step"]


def test_a_gradient_that_is_not_finite_stops_too(recipe, tmp_path, monkeypatch):
    def infinite(optimiser, limit):
        return {"gradient_norm": torch.tensor(float("inf"))}

    monkeypatch.setattr(loop, "clip_gradients", infinite)
    with pytest.raises(NonFiniteLossError, match=r"gradient \(all losses are finite\)"):
        train(recipe, settings(tmp_path))


def test_a_sequence_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    recipe = tiny_recipe(monkeypatch, broken=range(6))
    with pytest.raises(SampleError, match=r"squares:square\d: /data/square\d/0001.jpg is cut short"):
        train(recipe, settings(tmp_path))


def test_sequences_are_tracked_with_the_averaged_weights(recipe, tmp_path):
    seen = []

    def prepare(chosen):
        assert chosen == TrackingValidation(interval=2, parameter="tiny")

        def track(network, folder):
            seen.append(weights(network))
            if len(seen) == 2:
                raise RuntimeError("frame 3: the tracker answered a box that is not finite")
            return {"auc": 61.5}

        return track

    changed = with_changes(recipe, ["tracking.interval=2", "optimiser.ema_decay=0.5", "best_metric=tracking/auc"])
    result = train(changed, settings(tmp_path), prepare)
    found = [line.get("tracking/auc") for line in read_log(result.parent) if line["kind"] == "validation"]
    assert found == [None, 61.5, None]
    average = load_training_state(checkpoints(result.parent)[-1])["average"]
    assert all(torch.equal(value, average[f"module.{name}"]) for name, value in seen[1].items())
    assert same(seen[1], weights(result))
    assert same(seen[0], weights(result.parent / "best_network.safetensors"))


def test_settings_that_do_not_fit_are_refused_before_training(recipe, tmp_path):
    for change, message in (
        ("best_metric=iou/refind", "did you mean 'iou/refined'"),
        ("best_metric=tracking/auc", "needs tracking.interval"),
        ("batch_norm=sync", None),
        ("data.samples_per_epoch=3", "fewer than the batch size"),
    ):
        changed = with_changes(recipe, [change, "epochs=1"])
        if message is None:
            train(changed, settings(tmp_path / "sync"))
        else:
            with pytest.raises(ValueError, match=message):
                train(changed, settings(tmp_path / "refused"))


@pytest.mark.parametrize("there", [False, True])
def test_a_precision_that_the_processor_only_emulates_is_named(recipe, tmp_path, monkeypatch, capsys, there):
    monkeypatch.setattr(loop, "has_bf16", lambda: there)
    train(with_changes(recipe, ["precision=bf16", "epochs=1"]), settings(tmp_path))
    assert ("--set precision=fp32" in capsys.readouterr().err) != there


def test_scaled_gradients_train_the_same_and_the_scale_is_resumed(recipe, tmp_path, monkeypatch):
    """The scale is a power of two, so without half precision, which is slow on a CPU, it changes no bit."""
    plain = train(replace(recipe, epochs=1), settings(tmp_path / "plain"))
    monkeypatch.setattr(loop, "make_actor", lambda chosen, net: make_actor(replace(chosen, precision="fp32"), net))
    changed = replace(recipe, precision="fp16", epochs=1)
    run = settings(tmp_path / "scaled", checkpoint_interval=2)
    scaled = train(changed, run)
    assert same(weights(plain), weights(scaled))
    last = checkpoints(scaled.parent)[-1]
    state = load_training_state(last)
    assert state["scaler"]["_growth_tracker"] == 3
    last.unlink()
    train(changed, run)
    assert load_training_state(last)["scaler"] == state["scaler"]

    def overflowing(optimiser, limit):
        return {"gradient_norm": torch.tensor(float("inf"))}

    monkeypatch.setattr(loop, "clip_gradients", overflowing)
    assert train(replace(changed, name="overflow"), run).exists()


def test_compiling_changes_no_name(recipe, tmp_path):
    one = replace(recipe, epochs=1)
    plain = train(one, settings(tmp_path / "plain"))
    with torch.compiler.set_stance("force_eager"):
        compiled = train(one, settings(tmp_path / "compiled", compile=True))
    assert same(weights(plain), weights(compiled))


def test_processes_must_share_micro_batches_equally(recipe):
    assert [list(loop.share_of(replace(recipe, micro_batches=4), rank, 2)) for rank in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="3 processes cannot share 4 micro-batches"):
        loop.share_of(replace(recipe, micro_batches=4), 0, 3)


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
