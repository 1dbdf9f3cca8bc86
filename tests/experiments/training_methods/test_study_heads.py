"""Training a head: what is shared by all methods, what is frozen, what errors in annotations do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny_study import tiny_study

from experiments.common import step_order
from experiments.training_methods import heads
from experiments.training_methods.features import build_cache, open_cache
from experiments.training_methods.heads import DivergedError, HeadUnit, box_settings, train_head
from experiments.training_methods.settings import METHODS
from experiments.training_methods.stages import train_units
from ltr.admin.checkpoint import load_network
from ltr.ops.boxes import to_relative

CPU = torch.device("cpu")


@pytest.fixture
def study(monkeypatch, tmp_path):
    place, settings = tiny_study(monkeypatch, tmp_path)
    build_cache(place.cache, settings)
    return place, settings


@pytest.mark.parametrize("method", METHODS)
def test_every_method_moves_the_head_and_nothing_else(study, method):
    place, settings = study
    crops = open_cache(place.cache, settings, "train")
    unit = HeadUnit("u", method, steps=2)
    net, record = train_head(unit, crops, settings, CPU)
    before = heads.new_actor(settings, box_settings(unit, 8), unit.seed, CPU).net.state_dict()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("bb_regressor.") for name in changed)
    assert record["loss"] == record["loss"]
    shipped = load_network(settings.network).state_dict()
    assert all(torch.equal(value, shipped[n]) for n, value in net.state_dict().items() if "bb_regressor" not in n)


def test_a_seed_gives_the_same_head_twice_and_another_seed_another(study):
    place, settings = study
    crops = open_cache(place.cache, settings, "train")
    first, again, other = (
        train_head(HeadUnit("u", "nceplus", steps=2, seed=seed), crops, settings, CPU)[0].state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


@given(st.integers(2, 30), st.integers(1, 6), st.integers(1, 20), st.integers(0, 5))
@hypothesis_settings(deadline=None, derandomize=True, max_examples=40)
def test_every_crop_is_seen_once_before_any_comes_again(samples, size, steps, seed):
    rows = torch.cat(list(step_order(samples, size, steps, seed)))
    assert len(rows) == size * steps
    for begin in range(0, len(rows), samples):
        part = rows[begin : begin + samples]
        assert len(part.unique()) == len(part)


def test_the_rate_warms_up_and_ends_at_zero():
    factors = [heads.rate_factor(100)(step) for step in range(101)]
    assert factors[0] == pytest.approx(0.2) and max(factors) == 1.0 and factors[100] == pytest.approx(0, abs=1e-12)
    assert factors[5:] == sorted(factors[5:], reverse=True)


def test_annotation_errors_have_the_size_asked_for_and_stay(study):
    place, settings = study
    crops = open_cache(place.cache, settings, "train")
    errors = heads.annotation_errors(crops, 0.1, 0)
    assert torch.equal(errors, heads.annotation_errors(crops, 0.1, 0))
    assert heads.annotation_errors(crops, 0.0, 0) is None
    boxes = torch.tensor([30.0, 40.0, 20.0, 10.0]).expand(4000, 4)
    offsets = 0.1 * torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    moved = to_relative(heads.perturbed(boxes, offsets), boxes[:, 2:]) - to_relative(boxes, boxes[:, 2:])
    assert moved.std(0).allclose(torch.tensor(0.1), rtol=0.06)


def test_m_is_counted_alike_and_may_be_overruled():
    assert box_settings(HeadUnit("u", "iou"), 32).arguments["num_proposals"] == 32
    assert box_settings(HeadUnit("u", "dsm"), 32).arguments == {"num_samples": 32, "sigma": 0.075}
    assert box_settings(HeadUnit("u", "nceplus", {"num_samples": 4}), 32).arguments["num_samples"] == 4


def test_trained_units_are_kept_and_others_refused(study, capsys):
    place, settings = study
    folder = place.folder / "heads"
    units = [HeadUnit("a", "nce", steps=2), HeadUnit("b", "iou", steps=2)]
    train_units(place, settings, units, folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "b.safetensors").unlink()
    train_units(place, settings, units, folder)
    assert (folder / "a.safetensors").stat().st_mtime_ns == stamps[folder / "a.safetensors"]
    assert (folder / "b.safetensors").is_file()
    card = json.loads((folder / "a.json").read_text())
    assert card["unit"]["method"] == "nce" and card["environment"]["commit"]
    with pytest.raises(ValueError, match="other settings \\(rate\\)"):
        train_units(place, settings, [replace(units[0], rate=0.5)], folder)


def test_a_head_that_diverges_is_named(study, monkeypatch):
    place, settings = study
    crops = open_cache(place.cache, settings, "train")

    def broken(*arguments):
        return torch.tensor(float("nan"), requires_grad=True), {}

    monkeypatch.setattr(heads, "head_loss", broken)
    with pytest.raises(DivergedError, match=r"u: loss nan.* at 0"):
        train_head(HeadUnit("u", "nce", steps=2), crops, settings, CPU)
