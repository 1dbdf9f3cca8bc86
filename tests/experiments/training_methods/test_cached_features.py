"""The cache of features: what actors would compute, whole, resumable, and never that of other crops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tiny_study import tiny_study

from experiments.training_methods import features
from experiments.training_methods.features import build_cache, cache_folder, heldout_split, open_cache
from ltr.admin.checkpoint import load_network


@pytest.fixture
def study(monkeypatch, tmp_path):
    return tiny_study(monkeypatch, tmp_path)


def test_features_are_those_of_the_backbone(study):
    place, settings = study
    build_cache(place.cache, settings)
    crops = open_cache(place.cache, settings, "train")
    assert len(crops) == settings.train_samples
    sample = features._sampler(features.study_recipe(settings), "train", 6)[(0, 4)]
    net = load_network(settings.network)
    with torch.no_grad():
        wanted = net.extract_backbone_features(net.normalise(sample["test_images"]))
    for name, value in wanted.items():
        found = crops.features["test"][name][:, 4].float()
        # float16 rounds to one part in 2048, and to 6e-8 near zero.
        assert torch.allclose(found, value, rtol=1e-3, atol=6e-8), name
    assert torch.equal(crops.boxes["test"][:, 4], sample["test_boxes"])
    assert crops.sources[4] == sample["source"]


def test_validation_and_test_share_no_sequence(study):
    place, settings = study
    build_cache(place.cache, settings)
    splits = {name: open_cache(place.cache, settings, name).sources for name in ("validation", "test")}
    assert not set(splits["validation"]) & set(splits["test"])
    assert all(heldout_split(source) == name for name, sources in splits.items() for source in sources)


def test_building_goes_on_where_it_stopped(study, monkeypatch, capsys):
    place, settings = study
    monkeypatch.setattr(features, "SHARD", 4)
    folder = build_cache(place.cache, settings)
    whole = {path.name: load_file(path) for path in folder.glob("*.safetensors")}
    assert len(whole) > 3
    lost = folder / "train_0001.safetensors"
    lost.unlink()
    with pytest.raises(FileNotFoundError, match="train_0001"):
        open_cache(place.cache, settings, "train")
    capsys.readouterr()
    build_cache(place.cache, settings)
    assert "features: 1/1 train 1" in capsys.readouterr().err
    assert {path.name for path in folder.glob("*.safetensors")} == whole.keys()
    for name, tensor in load_file(lost).items():
        # The same convolution may add up in another order, where its memory lies otherwise.
        assert torch.allclose(tensor.float(), whole[lost.name][name].float(), rtol=2e-3, atol=1e-4), name


def test_other_crops_have_another_folder(study):
    place, settings = study
    usual = cache_folder(place.cache, settings)
    assert cache_folder(place.cache, replace(settings, steps=99, methods=("nce",), seeds=(7,))) == usual
    for change in ({"crop_size": 112}, {"data_seed": 1}, {"train_samples": 7}, {"precision": "bf16"}):
        assert cache_folder(place.cache, replace(settings, **change)) != usual, change


def test_too_few_held_out_sequences_are_said(study, monkeypatch):
    place, settings = study
    build_cache(place.cache, settings)
    monkeypatch.setattr(features, "heldout_split", lambda source: "test")
    with pytest.raises(ValueError, match="only 0 of 2 sequences for 'validation'"):
        open_cache(place.cache, settings, "validation")
