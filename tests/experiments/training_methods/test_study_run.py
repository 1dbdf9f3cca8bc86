"""The whole study in small: stages, resuming, tables, pictures and the documentation's places for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import write_sequence
from tiny_study import tiny_study

from experiments.common import claim_workspace, fill, spread
from experiments.training_methods import __main__ as command
from experiments.training_methods import ablations, report, results, stages
from experiments.training_methods.features import build_cache
from experiments.training_methods.heads import box_settings, is_trained, load_head, take_over, unit_path
from experiments.training_methods.settings import METHODS, StudySettings, quick
from experiments.training_methods.tracking import clips
from ltr.actors.iou_regression import BOX_METHODS
from ltr.admin.checkpoint import card_path
from ltr.ebm.methods import create_method
from ltr.errors import UserError

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture
def study(monkeypatch, tmp_path):
    return tiny_study(monkeypatch, tmp_path)


@pytest.fixture
def short_grids(monkeypatch):
    monkeypatch.setattr(stages.evaluation, "COARSE_STEPS", (1e-3, 1e-2))


@pytest.fixture
def sequences(tmp_path):
    for name in ("one", "two"):
        write_sequence(tmp_path / "videos" / name, ["20,15,20,16"] * 3)
    return clips(tmp_path / "videos", [])


def test_the_study_from_crops_to_tables(study, short_grids, sequences, tmp_path, monkeypatch, capsys):
    place, settings = study
    first = command.run_study(place, settings, sequences)
    heads = first["methods"]["nceplus"]["heads"]
    assert len(heads) == 2 and set(heads[0]["auc_by_sequence"]) == {"one", "two"}
    assert 0 <= heads[0]["iou"] <= 100 and np.isfinite(heads[0]["nll"])
    assert "nll" not in first["methods"]["iou"]["heads"][0]
    assert first["methods"]["iou"]["minus_reference"]["auc_by_sequence"]["sequences"] == 2
    assert first["methods"]["nceplus"]["minus_reference"] == {}
    assert first["tracked"] == {"sequences": 2, "names": ["one", "two"], "frames": 6, "protocol": "pytracking"}

    # Nothing is computed twice.
    monkeypatch.setattr(stages, "train_head", None)
    monkeypatch.setattr(stages.evaluation, "refined_ious", None)
    assert command.run_study(place, settings, sequences) == first

    cost = command.run_cost(place, settings, 1)
    assert cost["methods"]["iou"]["relative"] == 1.0
    assert cost["methods"]["nceplus"]["paper"] == METHODS["nceplus"].paper_cost
    docs = tmp_path / "docs"
    docs.mkdir()
    empty = dict.fromkeys(ablations.ABLATIONS, "Not run.")
    (docs / "training_methods.md").write_text(fill((DOCS / "training_methods.md").read_text(), empty, "docs"))
    written = [*report.publish(place.folder, tmp_path / "cards"), *report.write_report(tmp_path / "cards", docs)]
    assert all(path.stat().st_size > 0 for path in written)
    page = (docs / "training_methods.md").read_text()
    assert "](images/training_methods.png)" in page and "](images/training_methods_beta.png)" not in page
    assert "| NCE+ " in page and "| IoU " in page and "minus NCE+" in page
    assert (docs / "images" / "training_methods.png").read_bytes().startswith(b"\x89PNG")
    cards = tmp_path / "cards"
    assert cards / "training_methods_again.csv" in report.publish(place.folder, cards, again=True)
    report.write_report(cards, docs)
    page = (docs / "training_methods.md").read_text()
    assert "| NCE+ " in page.partition("<!-- again-main -->")[2].partition("<!-- end")[0]
    rows = (tmp_path / "cards" / "training_methods.csv").read_text().splitlines()
    assert rows[0] == "method,seed,iou,over_50,over_75,nll,auc" and len(rows) == 5


def test_an_ablation_trains_what_it_names(study, short_grids, monkeypatch):
    place, settings = study
    build_cache(place.cache, settings)
    monkeypatch.setattr(ablations, "LABEL_NOISE", (0.0, 0.1))
    small = replace(settings, seeds=(0,), steps=2)

    def judge_units(*arguments):
        judged = stages.judge_units(*arguments)
        for number, head in enumerate(judged.values()):
            head["by_source"] = {"a": 0.5 + 0.01 * number, "b": 0.7 + 0.01 * number}
        return judged

    monkeypatch.setattr(ablations, "judge_units", judge_units)
    result = ablations.run_ablation("label-noise", place, small, 1e-3)
    assert list(result["arms"]) == [
        "0 %, NCE",
        "0 %, NCE+ (beta 0.1)",
        "10 %, NCE",
        "10 %, NCE+ (beta 0.1)",
        "10 %, NCE+ (matched beta)",
    ]
    card = json.loads((place.folder / "label-noise" / "noise10_2_0.json").read_text())
    assert card["unit"]["label_noise"] == 0.1
    assert card["box"]["arguments"]["beta"] == pytest.approx(ablations.matched_beta(0.1))
    minus = {label: arm["minus_first"] for label, arm in result["arms"].items()}
    assert minus["0 %, NCE"] == minus["10 %, NCE"] == {}
    assert minus["0 %, NCE+ (beta 0.1)"]["by_source"]["mean"] == pytest.approx(0.01)
    assert minus["10 %, NCE+ (matched beta)"]["by_source"]["mean"] == pytest.approx(0.02)
    table = results.ablation_table(result)
    assert "minus NCE: IoU" in table and "| +2.00 (+2.00 ... +2.00) * " in table
    assert report.ablation_figure("label-noise", result).axes


def test_few_annotations_differ_in_nothing_but_their_number():
    usual, few = (ablations.ablation_settings(name, StudySettings()) for name in ("label-noise", "few-annotations"))
    assert few == replace(usual, train_samples=ablations.FEW) and usual.seeds == (0, 1) and usual.steps == 300
    assert ablations.ablation_settings("few-annotations", quick(StudySettings())).train_samples <= ablations.FEW


@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_arms_have_names_of_their_own_and_valid_settings(name):
    arms = ablations.ABLATIONS[name]()
    assert len({arm.key for arm in arms}) == len({arm.label for arm in arms}) == len(arms)
    for arm in arms:
        (unit,) = ablations.arm_units(arm, StudySettings(seeds=(0,)), 1e-3)
        box = box_settings(unit, 128)
        assert create_method(box.objective, BOX_METHODS, **box.arguments)


def test_settings_are_chosen_by_validation_iou(study, monkeypatch):
    place, settings = study
    settings = replace(settings, methods=("mlmcmc1", "mlmcmc4", "dsm"), rates=(1e-3, 3e-3))
    scores = {(1e-5, 1e-3): 0.3, (0.0125, 1e-3): 0.6, (0.05, 1e-3): 0.5, (0.0125, 3e-3): 0.7}
    tried = []

    def try_unit(place, settings, unit):
        tried.append(unit)
        key = (unit.arguments.get("step_length", 1e-5), unit.rate)
        value = scores[key] if unit.method == "mlmcmc4" else 0.5 - unit.rate
        return {"iou": value, "step_length": [1.0, 4.0]}

    monkeypatch.setattr(stages, "try_unit", try_unit)
    choices = stages.choose_settings(place, settings)
    assert choices["mlmcmc4"]["arguments"] == choices["mlmcmc1"]["arguments"] == {"step_length": 0.0125}
    assert choices["mlmcmc4"]["rate"] == choices["mlmcmc1"]["rate"] == 3e-3
    assert choices["mlmcmc1"]["trials"] == "as mlmcmc4"
    assert choices["dsm"] == {**choices["dsm"], "arguments": {}, "rate": 1e-3}
    assert len(tried) == 4 + 3 and all(unit.steps == settings.steps for unit in tried)


def test_a_head_that_was_trained_as_a_trial_is_not_trained_again(study, monkeypatch):
    place, settings = study
    build_cache(place.cache, settings)
    trial = stages.HeadUnit("nce_trial1", "nce", rate=3e-3, steps=2)
    stages.train_unit(place, settings, trial, place.folder / stages.TRIALS)
    other = stages.HeadUnit("nce_1", "nce", rate=3e-3, steps=2, seed=1)
    assert not take_over(place.folder / stages.TRIALS, other, place.folder / "heads")

    def train_head(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(stages, "train_head", train_head)
    trial_card = card_path(unit_path(place.folder / stages.TRIALS, trial))
    rewritten = json.loads(trial_card.read_text()) | {"environment": {"commit": "an earlier one"}}
    trial_card.write_text(json.dumps(rewritten))
    head = replace(trial, name="nce_0")
    stages.train_unit(place, settings, head, place.folder / "heads")
    assert is_trained(place.folder / "heads", head)
    card = json.loads(card_path(unit_path(place.folder / "heads", head)).read_text())
    assert card["unit"]["name"] == "nce_0" and card["environment"]["commit"] == "an earlier one"
    taken, tried = (load_head(unit_path(place.folder / f, u)) for f, u in (("heads", head), (stages.TRIALS, trial)))
    assert all(torch.equal(a, b) for a, b in zip(taken.state_dict().values(), tried.state_dict().values()))


def test_a_trial_that_diverges_is_not_taken(study, monkeypatch):
    place, settings = study

    def train_unit(*arguments):
        raise stages.DivergedError("u: loss nan")

    monkeypatch.setattr(stages, "train_unit", train_unit)
    found = stages.try_unit(place, settings, stages.HeadUnit("u", "nce"))
    assert found["iou"] == 0 and "nan" in found["diverged"]


def head(figures, sources):
    return {"iou": figures, "over_50": 1.0, "over_75": 1.0, "by_source": sources}


def test_differences_are_paired():
    # Sequences differ by far more than the methods do: only a paired comparison can see the difference.
    base = np.linspace(0.1, 0.9, 40)
    lower = [head(1, {str(k): value - 0.01 for k, value in enumerate(base)})]
    upper = [head(1, {str(k): value for k, value in enumerate(base)})]
    found = results.difference(lower, upper, "by_source")
    assert found.mean == pytest.approx(-0.01) and found.excludes_zero
    assert not results.difference(lower, lower, "by_source").excludes_zero


def test_spread():
    assert spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert np.isnan(spread([1.0])[1])


def test_tables_go_between_their_markers():
    text = "a\n<!-- main -->\nold\n<!-- end -->\nb\n<!-- beta -->\nkept\n<!-- end -->\n"
    filled = fill(text, {"main": "| new |"}, "page.md")
    assert filled == "a\n<!-- main -->\n| new |\n<!-- end -->\nb\n<!-- beta -->\nkept\n<!-- end -->\n"
    assert fill(filled, {"main": "| new |"}, "page.md") == filled
    with pytest.raises(UserError, match=r"page\.md: has no place .*choices"):
        fill(text, {"choices": ""}, "page.md")


def test_the_page_has_a_place_for_every_table():
    tables = dict.fromkeys(["conditions", "main", "differences", "choices", *ablations.ABLATIONS], "x")
    fill((DOCS / "training_methods.md").read_text(), tables, "docs")


def test_bad_input_is_one_line(study, tmp_path, monkeypatch):
    place, settings = study
    workspace = ["--workspace", str(tmp_path / "w")]
    for arguments, message in (
        (["cache", *workspace, "--set", "stepz=3"], "did you mean 'steps'"),
        (["cache", *workspace, "--set", "methods=('nceplsu',)"], "did you mean 'nceplus'"),
        (["cache", *workspace, "--set", "network=none"], "no network 'none'"),
        (["report", *workspace, "--cards", str(tmp_path)], "no results yet"),
        (["run", *workspace, "--sequences", str(tmp_path / "none")], "none"),
    ):
        with pytest.raises(UserError, match=message):
            command.main(arguments)
    claim_workspace(place.folder, settings.to_dict())
    with pytest.raises(UserError, match=r"other settings \(steps\): choose another folder"):
        claim_workspace(place.folder, replace(settings, steps=99).to_dict())


def test_quick_is_small():
    small, usual = quick(StudySettings()), StudySettings()
    assert small.methods == usual.methods
    assert small.steps * 20 < usual.steps and small.train_samples * 20 < usual.train_samples
