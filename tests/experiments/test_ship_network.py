"""Shipping a network: half precision, a card that says what it is, figures only from results of this very file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tiny_training import tiny_recipe

from experiments import ship_network
from ltr.admin.checkpoint import load_network, read_checkpoint, save_network, tracking_settings
from ltr.errors import UserError, exit_status
from ltr.run_training import load_recipe
from ltr.trainers.loop import RunSettings, train
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import TrackerRun


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        recipe = replace(tiny_recipe(patch), epochs=1)
        return train(recipe, RunSettings(workspace=folder, device="cpu", num_workers=0))


@pytest.fixture
def trained(network, monkeypatch, tmp_path):
    monkeypatch.setattr(ship_network, "NETWORKS", tmp_path / "networks")
    data = tmp_path / "data.json"
    data.write_text('[{"folder": "squares", "licence": "none needed"}]')
    return network, data


def test_network_and_card(trained, tmp_path, capsys):
    path, data = trained
    assert ship_network.main([str(path), "--name", "tiny", "--data", str(data)]) == 0
    shipped = tmp_path / "networks" / "tiny.safetensors"
    ours, theirs = load_network(path).state_dict(), load_network(shipped).state_dict()
    assert all(torch.allclose(ours[name].float(), theirs[name].float(), atol=2e-3, rtol=1e-3) for name in ours)
    card = json.loads(shipped.with_suffix(".json").read_text())
    assert card["recipe"]["name"] == "tiny" and card["precision"] == "float16"
    assert card["data"][0]["licence"] == "none needed"
    assert card["validation"]["epoch"] == 1 and card["validation"]["training_seconds"] > 0
    assert "commit" in card["environment"]
    stated = tracking_settings(shipped)
    assert stated == tracking_settings(path) and stated["image_sample_size"] == card["recipe"]["crop"]["output_size"]


def test_the_card_says_how_the_trackers_ascent_compares(trained, tmp_path, capsys):
    path, data = trained
    tracking = tracking_settings(path)
    step, steps = tracking["box_refinement_step_length"], tracking["box_refinement_iter"]
    row = {"steps": steps, "step_length": [step, step] if isinstance(step, float) else list(step), "decay": 1.0}
    choice = tmp_path / "choice.json"
    arguments = [str(path), "--name", "tiny", "--data", str(data), "--refinement", str(choice)]
    shrinking, own = {**row, "decay": 0.8, "iou": 0.9}, {**row, "iou": 0.8}
    choice.write_text(json.dumps({"frames": 4, "iou_start": 0.6, "settings": [shrinking, own]}))
    assert ship_network.main(arguments) == 0
    card = json.loads((tmp_path / "networks" / "tiny.json").read_text())
    assert card["refinement"]["chosen"] == own and card["refinement"]["best"][0] == shrinking
    choice.write_text(json.dumps({"frames": 4, "iou_start": 0.6, "settings": [shrinking]}))
    with pytest.raises(UserError, match="decay"):
        ship_network.main(arguments)


def test_a_head_of_the_study_is_tracked_with_as_its_recipe_says(trained, tmp_path):
    path, data = trained
    constructor, net = read_checkpoint(path)
    head = tmp_path / "nce_0.safetensors"
    save_network(head, net, constructor, {"unit": {"method": "nce", "steps": 600}})
    assert ship_network.main([str(head), "--name", "dimp_nce_lite", "--data", str(data)]) == 0
    shipped = tmp_path / "networks" / "dimp_nce_lite.safetensors"
    assert tracking_settings(shipped) == load_recipe(["dimp_nce_lite"]).tracking_settings()
    card = json.loads(shipped.with_suffix(".json").read_text())
    assert card["unit"] == {"method": "nce", "steps": 600} and card["recipe_name"] == "experiments.training_methods"


def test_figures_come_from_results_on_disk(trained, tmp_path, monkeypatch):
    path, data = trained
    ship_network.main([str(path), "--name", "dimp_nceplus_lite", "--data", str(data)])
    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path / "networks"))
    (ball,) = get_dataset("demo", sequences=["ball"])
    clip = [replace(ball, frames=ball.frames[:5], ground_truth_rect=ball.ground_truth_rect[:5], target_visible=None)]
    monkeypatch.setattr(ship_network, "get_dataset", lambda name, path=None: clip)
    results = tmp_path / "results"
    command = ["--name", "dimp_nceplus_lite", "--figures", "demo", "--results", str(results)]
    assert exit_status(lambda: ship_network.main(command)) == 2, "nothing has been tracked yet"
    overrides = {"device": "cpu", "box_refinement_iter": 1, "use_augmentation": False}
    assert not run_dataset(clip, [TrackerRun("dimp", "dimp_nceplus_lite")], results, overrides=overrides)
    assert ship_network.main(command) == 0
    card = json.loads((tmp_path / "networks" / "dimp_nceplus_lite.json").read_text())
    assert card["measured"]["demo"]["protocol"] == "pytracking"
    assert 0 <= card["measured"]["demo"]["auc"] <= 100


def test_metrics_by_group_and_the_lead_over_others(trained, tmp_path, monkeypatch):
    path, data = trained
    ship_network.main([str(path), "--name", "dimp_nceplus_lite", "--data", str(data)])
    demo = get_dataset("demo")[:3]
    clips = [
        replace(
            clip, name=name, frames=clip.frames[:3], ground_truth_rect=clip.ground_truth_rect[:3], target_visible=None
        )
        for clip, name in zip(demo, ("OTB_a", "OTB_b", "VOT_c"))
    ]
    monkeypatch.setattr(ship_network, "get_dataset", lambda name, path=None: clips)
    results = tmp_path / "results"
    # The network's results are stood in for by those of a box that never moves: only the arithmetic is of interest.
    run_dataset(clips, [TrackerRun("static", "default"), TrackerRun("opencv", "kcf")], results)
    monkeypatch.setattr(ship_network, "TrackerRun", lambda tracker, name: TrackerRun("static", "default"))
    figures = ship_network.add_figures("dimp_nceplus_lite", "folder", None, results, [TrackerRun("opencv", "kcf")])
    assert set(figures["groups"]) == {"OTB", "VOT"}
    mean = (2 * figures["groups"]["OTB"] + figures["groups"]["VOT"]) / 3
    assert figures["auc"] == pytest.approx(mean, abs=0.02)
    low, high = figures["against"]["opencv/kcf"]["lead"]
    assert low <= figures["auc"] - figures["against"]["opencv/kcf"]["auc"] <= high
    stored = json.loads((tmp_path / "networks" / "dimp_nceplus_lite.json").read_text())["measured"]["folder"]
    assert stored["against"] == figures["against"] and stored["names"] == ["OTB_a", "OTB_b", "VOT_c"]


def test_a_network_without_data_is_refused(trained, capsys):
    path, _ = trained
    with pytest.raises(SystemExit):
        ship_network.main([str(path), "--name", "tiny"])
    assert "--data" in capsys.readouterr().err
