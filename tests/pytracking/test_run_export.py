"""Exported graphs in 8 bits: near what fp32 gives, for their weights alone, with ranges from pictures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_networks import tiny_network

from ltr.data.image import read_image
from ltr.errors import UserError
from ltr.models.export import EXTRACTION_INT8, read_graphs, write_graphs
from pytracking import get_dataset, load_tracker, run_export
from pytracking.backends import choose_backend, graphs_beside
from pytracking.networks import network_file
from pytracking.registry import load_parameters

SIZE = 128
CPU = torch.device("cpu")


def samples(images: int) -> torch.Tensor:
    return torch.rand(images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(images)) * 255


@pytest.fixture(scope="module")
def graphs_in_8_bits(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "tiny.graphs.zip"
    write_graphs(tiny_network(), path, size=SIZE, ascents=[], examples=samples(4).split(1))
    return path


@pytest.mark.parametrize("engine", ["onnx", "openvino", "auto"])
def test_features_in_8_bits_are_near(engine, graphs_in_8_bits) -> None:
    options = {"size": SIZE, "graphs": graphs_in_8_bits}
    expected, found = (
        choose_backend(engine, tiny_network(), CPU, **options, precision=precision).extract(samples(3))
        for precision in ("fp32", "int8")
    )
    assert list(found) == list(expected)
    for name, values in expected.items():
        off = (found[name] - values).norm() / values.norm()
        assert 1e-4 < off < 0.1, name


def test_what_int8_needs_is_said(graphs_in_8_bits, tmp_path) -> None:
    in_fp32 = tmp_path / "tiny.graphs.zip"
    write_graphs(tiny_network(), in_fp32, size=SIZE, ascents=[])

    def chosen(name: str, net=None, path=graphs_in_8_bits, device=CPU) -> None:
        choose_backend(name, net or tiny_network(), device, size=SIZE, precision="int8", graphs=path)

    other = tiny_network()
    torch.nn.init.ones_(other.bb_regressor.iou_predictor.bias)
    for said, arguments in (
        ("written for other weights", {"net": other}),
        ("--int8 PICTURES writes it", {"path": in_fp32}),
        ("python -m pytracking export", {"path": None}),
        ("not on meta", {"device": torch.device("meta")}),
    ):
        for name in ("onnx", "auto"):
            with pytest.raises(UserError, match=said):
                chosen(name, **arguments)
    with pytest.raises(UserError, match="'torch' does not compute in it"):
        chosen("torch")


def test_int8_in_a_real_clip_stays_near() -> None:
    sequence = next(s for s in get_dataset("demo") if s.name == "mug")
    frames = [read_image(path) for path in sequence.frames[:8]]
    tracks = []
    for precision in ("fp32", "int8"):
        tracker = load_tracker("dimp_nceplus_nano", device="cpu", precision=precision)
        tracker.initialize(frames[0], sequence.ground_truth_rect[0])
        tracks.append(np.array([tracker.track(frame).box for frame in frames[1:]]))
    assert 0 < np.abs(tracks[1] - tracks[0]).max() < 6


def test_pictures_give_the_ranges(tmp_path) -> None:
    with pytest.raises(UserError, match="no pictures there"):
        run_export.example_crops(tmp_path, 32)
    (tmp_path / "deep").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 60, 3), (0, 100, 255), np.uint8))
    cv2.imwrite(str(tmp_path / "deep" / "b.JPG"), np.zeros((50, 20, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    first, second = run_export.example_crops(tmp_path, 32)
    assert first.shape == second.shape == (1, 3, 32, 32)
    assert first[0, :, 5, 7].tolist() == [255, 100, 0] and second.max() < 5


def test_export_writes_the_graph_in_8_bits(tmp_path, monkeypatch, capsys) -> None:
    net = tmp_path / "mine.safetensors"
    shutil.copy(network_file("dimp_nceplus_lite"), net)
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    params = replace(load_parameters("dimp_nceplus_nano"), net_path=str(net))
    with monkeypatch.context() as patched:
        patched.setattr("pytracking.registry.load_parameters", lambda name: params)
        assert run_export.main(["mine", "--int8", str(tmp_path)]) == 0
    written = graphs_beside(net)
    assert str(written) in capsys.readouterr().out
    assert read_graphs(written)[EXTRACTION_INT8].facts["size"] == params.image_sample_size
    assert load_tracker("dimp_nceplus_nano", net_path=str(net), precision="int8").weights_sha256
