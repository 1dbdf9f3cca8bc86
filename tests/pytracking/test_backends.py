"""Back ends against torch: the same features and boxes, and plain words where one cannot be used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_networks import tiny_network

from ltr.data.image import read_image
from ltr.errors import MissingPackageError, UserError
from ltr.models import export
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.export import EXTRACTION, EXTRACTION_INT8, ascent_name, read_graphs, write_graphs
from ltr.models.tracking.tracking_net import TrackingNet
from pytracking import backends, get_dataset, load_tracker
from pytracking.backends import (
    GraphBackend,
    TorchBackend,
    ascent_of,
    choose_backend,
    find_graphs,
    onnx_session,
    openvino_session,
    torch_threads,
)
from pytracking.networks import network_file
from pytracking.registry import load_parameters
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.networks import load_tracking_network

SIZE = 128
CPU = torch.device("cpu")
ASCENT_OPTIONS = {"space": "relative", "steps": 4, "step_length": (0.2, 0.4)}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "tiny.graphs.zip"
    write_graphs(tiny_network(), path, size=SIZE, ascents=[("relative", 4, 1.0), ("relative", 4, 0.8)])
    return path


def samples(images: int) -> torch.Tensor:
    return torch.rand(images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(images)) * 255


@pytest.mark.parametrize("name", ["dimp", "atom"])
def test_folded_batch_norm_changes_nothing(name) -> None:
    net = tiny_network(name)
    layers = net.extract_backbone_features(net.normalise(samples(2)))
    found = TorchBackend(deepcopy(net), SIZE).extract(samples(2))
    torch.testing.assert_close({name: found[name] for name in layers}, layers, rtol=1e-4, atol=1e-4)
    if name == "dimp":
        torch.testing.assert_close(found["classification"], net.extract_classification_feat(layers))
    TorchBackend(net, SIZE)
    left = [name for name, m in net.feature_extractor.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    # No forward asks for the last stage.
    assert [name.split(".")[0] for name in left] == ["layer4"]


needs_patience = pytest.mark.skipif(
    not (os.environ.get("EBM_TRACKING_TEST_COMPILE") and shutil.which("g++")),
    reason="compiling takes half a minute: set EBM_TRACKING_TEST_COMPILE=1, with g++ installed",
)


def graph_backend(sessions, ascents):
    """Of the graphs of a network, as `find_graphs` writes them into the cache."""

    def create(net, space, folder):
        params = DiMPParameters(
            image_sample_size=SIZE, box_refinement_space=space, box_refinement_iter=4, backend="onnx"
        )
        graphs = find_graphs(params, net, folder / "net.safetensors", "0" * 64)
        return GraphBackend(net, read_graphs(graphs), sessions, ascents)

    return create


@pytest.mark.parametrize(
    "create",
    [
        pytest.param(graph_backend(onnx_session, onnx_session), id="onnx"),
        pytest.param(graph_backend(partial(openvino_session, size=SIZE), onnx_session), id="openvino"),
        pytest.param(graph_backend(openvino_session, None), id="openvino of any size, and torch"),
        pytest.param(lambda net, *_: TorchBackend(net, SIZE, way="compile"), id="compile", marks=needs_patience),
    ],
)
@pytest.mark.parametrize(("name", "space"), [("dimp", "relative"), ("prdimp", "absolute"), ("atom", "absolute")])
def test_equal_features_and_boxes(create, name, space, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path))
    net = tiny_network(name)
    expected_backend, backend = TorchBackend(deepcopy(net), SIZE), create(net, space, tmp_path)
    for images in (1, 3):
        expected, found = (each.extract(samples(images)) for each in (expected_backend, backend))
        assert list(found) == list(expected)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

        layers = [expected["layer2"], expected["layer3"]]
        starts = torch.tensor([40.0, 50, 36, 30]) + 3 * torch.randn(
            images, 5, 4, generator=torch.Generator().manual_seed(7)
        )
        options = {**ASCENT_OPTIONS, "space": space}
        modulation = tiny_network(name).bb_regressor.get_modulation(layers, starts[:, 0])
        boxes, scores = expected_backend.refiner.refine(modulation, layers, starts, **options)
        assert (boxes - starts).abs().max() > 0.02
        moved = backend.refiner.refine(modulation, layers, starts, **options)
        torch.testing.assert_close(moved, (boxes, scores), atol=1e-3, rtol=1e-4)


def test_graphs_are_written_on_demand_and_found_again(graphs, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))

    def found(checkpoint, backend, **changes) -> Path | None:
        params = DiMPParameters(image_sample_size=SIZE, box_refinement_iter=4, backend=backend, **changes)
        return find_graphs(params, tiny_network(), checkpoint, "ab" * 32)

    alone, beside = tmp_path / "net.safetensors", graphs.with_name("tiny.safetensors")
    assert found(alone, "auto") is None
    written = found(alone, "onnx")
    assert written.parent == tmp_path / "cache" / "graphs"
    assert read_graphs(written)[EXTRACTION].facts == {"size": SIZE}
    monkeypatch.setattr(backends, "write_graphs", lambda *_, **__: pytest.fail("written again"))
    assert found(alone, "auto") == found(alone, "onnx") == written
    assert found(beside, "onnx") == graphs
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert found(tmp_path / "other.safetensors", "onnx", box_refinement_space="absolute") is None


def test_a_precision_that_does_not_pay_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(backends, "has_bf16", lambda: False)
    with pytest.raises(UserError, match="neither AVX512-BF16 nor AMX"):
        choose_backend("torch", tiny_network(), CPU, size=SIZE, precision="bf16")
    monkeypatch.setattr(backends, "has_bf16", lambda: True)
    assert type(choose_backend("torch", tiny_network(), CPU, size=SIZE, precision="bf16")) is TorchBackend
    with pytest.raises(UserError, match="slower than 'fp32' on a CPU"):
        choose_backend("torch", tiny_network(), CPU, size=SIZE, precision="fp16")


def test_half_precision_in_a_real_clip_stays_near(monkeypatch) -> None:
    monkeypatch.setattr(backends, "has_bf16", lambda: True)
    sequence = next(s for s in get_dataset("demo") if s.name == "mug")
    frames = [read_image(path) for path in sequence.frames[:8]]
    tracks = []
    for precision in ("fp32", "bf16"):
        tracker = load_tracker("dimp_nceplus_lite", backend="torch", device="cpu", precision=precision)
        tracker.initialize(frames[0], sequence.ground_truth_rect[0])
        tracks.append(np.array([tracker.track(frame).box for frame in frames[1:]]))
    assert 0 < np.abs(tracks[1] - tracks[0]).max() < 6


def test_compile_compiles_the_extraction_alone(monkeypatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda module, **_: compiled.append(module) or module)
    backend = choose_backend("compile", tiny_network(), CPU, size=SIZE)
    assert compiled == [backend._extract]
    torch.testing.assert_close(backend.extract(samples(1)), TorchBackend(tiny_network(), SIZE).extract(samples(1)))
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"install g\+\+"):
        choose_backend("compile", tiny_network(), CPU, size=SIZE)


def ascent_inputs(net):
    """Modulation, layers and starts for `ClosedFormHead.refine`."""
    layers = [net.extract_backbone_features(net.normalise(samples(1)))[name] for name in ("layer2", "layer3")]
    starts = torch.tensor([[[40.0, 50, 36, 30], [42, 48, 30, 36]]])
    return net.bb_regressor.get_modulation(layers, starts[:, 0]), layers, starts


def test_a_decay_has_a_graph_of_its_own(graphs, monkeypatch) -> None:
    net = tiny_network()
    backend = GraphBackend(net, read_graphs(graphs), onnx_session, onnx_session)
    monkeypatch.setattr(ClosedFormHead, "climb", lambda *_, **__: pytest.fail("torch was asked"))
    modulation, layers, starts = ascent_inputs(net)
    plain, slowing = (
        backend.refiner.refine(modulation, layers, starts, **ASCENT_OPTIONS, decay=decay) for decay in (1.0, 0.8)
    )
    assert (plain[0] - slowing[0]).abs().max() > 1e-3
    monkeypatch.undo()
    expected = TorchBackend(net, SIZE).refiner.refine(modulation, layers, starts, **ASCENT_OPTIONS, decay=0.8)
    torch.testing.assert_close(slowing, expected, atol=1e-3, rtol=1e-4)


def test_an_ascent_that_no_graph_is_for_runs_in_torch(graphs, monkeypatch) -> None:
    net = tiny_network()
    backend = GraphBackend(net, read_graphs(graphs), onnx_session, onnx_session)
    modulation, layers, starts = ascent_inputs(net)
    monkeypatch.setattr(backend.refiner, "_make_session", lambda *_: pytest.fail("the graph was asked"))
    for other in ({"steps": 3}, {"space": "absolute"}, {"decay": 0.5}, {"per_box_step_control": True}):
        options = {**ASCENT_OPTIONS, **other}
        expected = TorchBackend(deepcopy(net), SIZE).refiner.refine(modulation, layers, starts, **options)
        torch.testing.assert_close(backend.refiner.refine(modulation, layers, starts, **options), expected)


def test_an_engine_has_the_threads_alone_while_targets_are_searched(graphs, monkeypatch) -> None:
    given = []
    monkeypatch.setattr(backends, "onnx_session", lambda graph, module, threads: given.append(threads))
    before = torch.get_num_threads()
    with torch_threads(3):
        backend = choose_backend("onnx", tiny_network(), CPU, size=SIZE, graphs=graphs)
        with backend.search():
            assert torch.get_num_threads() == 1
            with pytest.raises(TypeError):
                backend.refiner.refine(*ascent_inputs(tiny_network()), **ASCENT_OPTIONS)
        assert torch.get_num_threads() == 3
        with TorchBackend(tiny_network(), SIZE).search():
            assert torch.get_num_threads() == 3
    assert given == [3, 3] and torch.get_num_threads() == before


def test_a_graph_is_small_and_has_no_weights(graphs) -> None:
    shipped = read_graphs(network_file("dimp_nceplus_lite").with_suffix(".graphs.zip"))
    weights = network_file("dimp_nceplus_lite").stat().st_size
    for name, graph in (*read_graphs(graphs).items(), *shipped.items()):
        if name != EXTRACTION_INT8:
            assert graph.weights
            assert len(graph.model) < weights / 10
    assert shipped[EXTRACTION].facts == {"size": load_parameters("dimp_nceplus_lite").image_sample_size}
    for name in ("dimp_nceplus_lite", "dimp_nceplus_nano"):
        params = load_parameters(name)
        assert ascent_name(*ascent_of(params)) in shipped


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_the_shipped_network_tracks_alike(engine) -> None:
    sequence = next(s for s in get_dataset("demo") if s.name == "mug")
    frames = [read_image(path) for path in sequence.frames[:12]]
    tracks = []
    for backend in ("torch", engine):
        tracker = load_tracker("dimp_nceplus_lite", backend=backend, device="cpu")
        tracker.initialize(frames[0], sequence.ground_truth_rect[0])
        results = [tracker.track(frame) for frame in frames[1:]]
        tracks.append((np.array([result.box for result in results]), [result.flag for result in results]))
    np.testing.assert_allclose(tracks[1][0], tracks[0][0], atol=0.01, rtol=0)
    assert tracks[1][1] == tracks[0][1]


def test_signals_are_handled_after_trackers_have_gone_in_the_order_that_they_came() -> None:
    """In a process of its own, since it would be killed."""
    code = """
        import os, signal
        from pytracking import load_tracker
        trackers = [load_tracker("dimp_nceplus_lite", backend="openvino", device="cpu") for _ in range(2)]
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        del trackers[0]
        del trackers[0]
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_a_graph_serves_samples_of_another_size() -> None:
    net = load_tracking_network(network_file("dimp_nceplus_lite"), TrackingNet)
    shipped = read_graphs(network_file("dimp_nceplus_lite").with_suffix(".graphs.zip"))
    assert b"Pad" not in shipped[EXTRACTION].model
    backend = GraphBackend(net, shipped, onnx_session, onnx_session)
    for size in (160, 256):
        crop = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(size)) * 255
        expected = TorchBackend(deepcopy(net), size).extract(crop)
        torch.testing.assert_close(backend.extract(crop), expected, rtol=1e-4, atol=1e-4)


def test_the_shipped_ascent_has_few_operations() -> None:
    params = load_parameters("dimp_nceplus_lite")
    shipped = read_graphs(network_file("dimp_nceplus_lite").with_suffix(".graphs.zip"))
    graph = onnx.load_from_string(shipped[ascent_name(*ascent_of(params))].model).graph
    assert sum(node.op_type != "Constant" for node in graph.node) <= 185 * params.box_refinement_iter


def test_auto_takes_what_is_there(graphs, tmp_path, monkeypatch) -> None:
    def chosen(name="auto", path=graphs, **changes) -> type:
        return type(choose_backend(name, tiny_network(), CPU, **{"size": SIZE, "graphs": path, **changes}))

    assert chosen() is GraphBackend
    assert chosen(path=tmp_path / "none") is TorchBackend
    assert chosen(path=None) is TorchBackend
    assert chosen("torch") is TorchBackend
    monkeypatch.setattr(backends, "has_bf16", lambda: True)
    assert chosen(precision="bf16") is TorchBackend
    assert chosen(size=160) is GraphBackend
    assert chosen(size=150) is TorchBackend
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert chosen() is TorchBackend


@pytest.mark.parametrize(
    ("changes", "device", "said"),
    [
        ({"graphs": None}, "cpu", "python -m pytracking export"),
        ({"precision": "bf16"}, "cpu", "fp32"),
        ({"size": 150}, "cpu", "128 pixels, not 150"),
        ({}, "meta", "not on meta"),
    ],
)
def test_what_onnx_cannot_do_is_said(graphs, changes, device, said) -> None:
    with pytest.raises(UserError, match=said):
        choose_backend("onnx", tiny_network(), torch.device(device), **{"size": SIZE, "graphs": graphs, **changes})


def test_other_weights_and_other_files_are_refused(graphs, tmp_path) -> None:
    with pytest.raises(UserError, match="another network"):
        GraphBackend(tiny_network("atom"), read_graphs(graphs), onnx_session, onnx_session)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no zip")
    with pytest.raises(UserError, match="no file of graphs"):
        read_graphs(broken)
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("graphs2.json", b"{}")
    with pytest.raises(
        UserError, match=rf"no file of graphs of format {export.FORMAT} .*: python -m pytracking export NAME"
    ):
        read_graphs(broken)


def test_missing_packages_are_named(graphs, tmp_path, monkeypatch) -> None:
    read = read_graphs(graphs)
    for package, call in (
        ("onnxruntime", lambda: GraphBackend(tiny_network(), read, onnx_session, None)),
        ("openvino", lambda: GraphBackend(tiny_network(), read, openvino_session, None)),
        ("onnx", lambda: export.write_graphs(tiny_network(), tmp_path / "x", size=SIZE, ascents=[])),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(MissingPackageError, match=f"pip install {package}"):
            call()
