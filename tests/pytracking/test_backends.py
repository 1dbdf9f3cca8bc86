"""ONNX Runtime against torch: the same features and boxes, and plain words where it cannot be used."""

from __future__ import annotations

import zipfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_networks import make_networks_narrow

from ltr.data.image import read_image
from ltr.errors import MissingPackageError, UserError
from ltr.models import export
from ltr.models.bbreg import atom
from ltr.models.export import ASCENT, EXTRACTION, read_graphs, write_graphs
from ltr.models.tracking import dimpnet
from ltr.models.tracking.tracking_net import TrackingNet
from pytracking import backends, get_dataset, load_tracker
from pytracking.backends import OnnxBackend, TorchBackend, choose_backend
from pytracking.networks import network_file
from pytracking.registry import load_parameters

SIZE = 128
CPU = torch.device("cpu")
ASCENT_OPTIONS = {"space": "relative", "steps": 4, "step_length": (0.2, 0.4)}


def network(name: str = "dimp") -> TrackingNet:
    """A tiny network whose batch norms do something."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patched:
        make_networks_narrow(patched)
        net: TrackingNet = dimpnet.dimpnet18(out_feature_dim=8) if name == "dimp" else atom.atom_resnet18()
    net.eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 1.5)
    torch.nn.init.normal_(net.bb_regressor.iou_predictor.weight)
    return net


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "tiny.graphs.zip"
    write_graphs(network(), path, size=SIZE, space="relative", steps=4)
    return path


def samples(images: int) -> torch.Tensor:
    return torch.rand(images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(images)) * 255


@pytest.mark.parametrize("name", ["dimp", "atom"])
def test_folded_batch_norm_changes_nothing(name) -> None:
    net = network(name)
    layers = net.extract_backbone_features(net.normalise(samples(2)))
    found = TorchBackend(deepcopy(net), SIZE).extract(samples(2))
    torch.testing.assert_close({name: found[name] for name in layers}, layers, rtol=1e-4, atol=1e-4)
    if name == "dimp":
        torch.testing.assert_close(found["classification"], net.extract_classification_feat(layers))
    TorchBackend(net, SIZE)
    left = [name for name, m in net.feature_extractor.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    # No forward asks for the last stage.
    assert [name.split(".")[0] for name in left] == ["layer4"]


@pytest.mark.parametrize("images", [1, 3])
def test_equal_features_and_boxes(graphs, images) -> None:
    net = network()
    torch_backend, onnx_backend = TorchBackend(deepcopy(net), SIZE), OnnxBackend(net, read_graphs(graphs))
    expected, found = (backend.extract(samples(images)) for backend in (torch_backend, onnx_backend))
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    layers = [expected["layer2"], expected["layer3"]]
    starts = torch.tensor([40.0, 50, 36, 30]) + 3 * torch.randn(
        images, 5, 4, generator=torch.Generator().manual_seed(7)
    )
    modulation = net.bb_regressor.get_modulation(layers, starts[:, 0])
    boxes, scores = torch_backend.refiner.refine(modulation, layers, starts, **ASCENT_OPTIONS)
    assert (boxes - starts).abs().max() > 0.05
    moved = onnx_backend.refiner.refine(modulation, layers, starts, **ASCENT_OPTIONS)
    torch.testing.assert_close(moved, (boxes, scores), atol=1e-3, rtol=1e-4)


def test_an_ascent_that_no_graph_is_for_runs_in_torch(graphs, monkeypatch) -> None:
    net = network()
    backend = OnnxBackend(net, read_graphs(graphs))
    layers = [backend.extract(samples(1))[name] for name in ("layer2", "layer3")]
    starts = torch.tensor([[[40.0, 50, 36, 30], [42, 48, 30, 36]]])
    modulation = net.bb_regressor.get_modulation(layers, starts[:, 0])
    monkeypatch.setattr(backends, "session", lambda *_: pytest.fail("a session was made"))
    for other in ({"steps": 3}, {"space": "absolute"}, {"decay": 0.5}, {"per_box_step_control": True}):
        options = {**ASCENT_OPTIONS, **other}
        expected = TorchBackend(deepcopy(net), SIZE).refiner.refine(modulation, layers, starts, **options)
        torch.testing.assert_close(backend.refiner.refine(modulation, layers, starts, **options), expected)


def test_a_graph_is_small_and_has_no_weights(graphs) -> None:
    shipped = read_graphs(network_file("dimp_nceplus_lite").with_suffix(".graphs.zip"))
    weights = network_file("dimp_nceplus_lite").stat().st_size
    for graph in (*read_graphs(graphs).values(), *shipped.values()):
        assert graph.weights
        assert len(graph.model) < weights / 10
    assert shipped[EXTRACTION].facts == {"size": load_parameters("dimp_nceplus_lite").image_sample_size}
    assert shipped[ASCENT].facts == {"space": "relative", "steps": 10}


def test_the_shipped_network_tracks_alike() -> None:
    sequence = next(s for s in get_dataset("demo") if s.name == "mug")
    frames = [read_image(path) for path in sequence.frames[:12]]
    tracks = []
    for backend in ("torch", "onnx"):
        tracker = load_tracker("dimp_nceplus_lite", backend=backend, device="cpu")
        tracker.initialize(frames[0], sequence.ground_truth_rect[0])
        results = [tracker.track(frame) for frame in frames[1:]]
        tracks.append((np.array([result.box for result in results]), [result.flag for result in results]))
    np.testing.assert_allclose(tracks[1][0], tracks[0][0], atol=0.01, rtol=0)
    assert tracks[1][1] == tracks[0][1]


def test_auto_takes_what_is_there(graphs, tmp_path, monkeypatch) -> None:
    def chosen(name="auto", path=graphs, **changes) -> type:
        return type(choose_backend(name, network(), CPU, **{"size": SIZE, "graphs": path, **changes}))

    assert chosen() is OnnxBackend
    assert chosen(path=tmp_path / "none") is TorchBackend
    assert chosen(path=None) is TorchBackend
    assert chosen("torch") is TorchBackend
    assert chosen(dtype="bfloat16") is TorchBackend
    assert chosen(size=160) is TorchBackend
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert chosen() is TorchBackend


@pytest.mark.parametrize(
    ("changes", "device", "said"),
    [
        ({"graphs": None}, "cpu", "python -m pytracking export"),
        ({"dtype": "bfloat16"}, "cpu", "float32"),
        ({"size": 160}, "cpu", "128 pixels, not 160"),
        ({}, "meta", "not on meta"),
    ],
)
def test_what_onnx_cannot_do_is_said(graphs, changes, device, said) -> None:
    with pytest.raises(UserError, match=said):
        choose_backend("onnx", network(), torch.device(device), **{"size": SIZE, "graphs": graphs, **changes})


def test_other_weights_and_other_files_are_refused(graphs, tmp_path) -> None:
    with pytest.raises(UserError, match="another network"):
        OnnxBackend(network("atom"), read_graphs(graphs))
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no zip")
    with pytest.raises(UserError, match="no file of graphs"):
        read_graphs(broken)
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(UserError, match="no file of graphs"):
        read_graphs(broken)


def test_missing_packages_are_named(graphs, tmp_path, monkeypatch) -> None:
    read = read_graphs(graphs)
    for package, call in (
        ("onnxruntime", lambda: OnnxBackend(network(), read)),
        ("onnx", lambda: export.write_graphs(network(), tmp_path / "x", size=SIZE, space="relative", steps=1)),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(MissingPackageError, match=f"pip install {package}"):
            call()
