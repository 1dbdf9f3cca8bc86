"""The loading benchmark runs in all its modes and says what it measured."""

from __future__ import annotations

import os

import pytest
from mini_training_sets import make_lite, make_trackingnet, set_environment

from experiments.benchmarks.loading import main


def test_decoders(tmp_path, capsys):
    make_trackingnet(tmp_path, sets=1)
    assert main(["decoders", "--images", str(tmp_path), "--count", "5"]) == 0
    out = capsys.readouterr().out
    assert "images of 80 x 60 pixels" in out and "opencv" in out and "simplejpeg" in out
    assert main(["decoders", "--images", str(tmp_path / "nowhere")]) == 2
    assert "has no images" in capsys.readouterr().err


def test_the_index(capsys):
    before = os.environ.get("EBM_TRACKING_CACHE")
    assert main(["index", "--sequences", "30", "--frames", "4"]) == 0
    out = capsys.readouterr().out
    assert "30 sequences, 120 frames" in out and "30 sequences, 120 boxes" in out and out.count("later start") == 3
    assert os.environ.get("EBM_TRACKING_CACHE") == before


@pytest.mark.parametrize("workers", [["0"], ["0", "1"]])
def test_the_loader(tmp_path, monkeypatch, capsys, workers):
    set_environment(monkeypatch, {"EBM_TRACKING_LITE": str(make_lite(tmp_path))})
    arguments = ["--set", "batch_size=2", "--set", "crop.output_size=64", "--samples", "6", "--workers", *workers]
    assert main(["loader", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("samples/s") == len(workers) and "what limits is" in out and "crops and augmentation" in out


def test_an_unknown_recipe_is_one_line(capsys):
    assert main(["loader", "--recipe", "dimp_nceplus_lit"]) == 2
    assert "did you mean 'dimp_nceplus_lite'" in capsys.readouterr().err
