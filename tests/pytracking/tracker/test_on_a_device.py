"""Trackers and objectives on a pretended accelerator: no mixing of devices, few launches, one copy in and one wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pretended_device import COUNTS, Counts, DeviceMix, pretended
from tiny_tracking import square_video, tiny_atomnet, tiny_dimpnet

from ltr.ebm.methods import METHODS, create_method
from ltr.errors import UserError
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.tracking.dimpnet import dimpnet50, dimpnet_lite0
from pytracking import backends
from pytracking.backends import TorchBackend
from pytracking.registry import load_parameters
from pytracking.tracker.atom import ATOMParameters, ATOMTargets
from pytracking.tracker.dimp import DiMPParameters, DiMPTargets, create_targets
from pytracking.tracker.shared.online_targets import OnlineTargets

SMALL = {
    "image_sample_size": 128,
    "search_area_scale": 5.0,
    "target_not_found_threshold": -1e9,
    "distractor_threshold": 1e9,
    "displacement_penalty": 0.4,
    "velocity_weight": 0.8,
    "distractor_penalty": 0.5,
    "train_skipping": 3,
    "use_augmentation": False,
}
PATHS = [[(30 + 3 * step + 2 * number, 40 + step, 24, 24) for step in range(5)] for number in range(16)]
SETTINGS = {
    "mlis": {"noise_sigmas": (0.1, 0.3), "num_samples": 8},
    "kldis": {"noise_sigmas": (0.1, 0.3), "num_samples": 8, "label_sigma": 0.1},
    "nce": {"noise_sigmas": (0.1, 0.3), "num_samples": 8},
    "nceplus": {"noise_sigmas": (0.1, 0.3), "num_samples": 8, "beta": 0.1},
    "mlmcmc": {"num_samples": 4, "steps": 3, "step_length": 0.1},
    "dsm": {"sigma": 0.2, "num_samples": 4},
    "sm": {},
}


def make(kind: str, device: str, **changes) -> OnlineTargets:
    settings = {**SMALL, "device": device, **changes}
    if kind == "dimp":
        return DiMPTargets(DiMPParameters(net_opt_iter=1, **settings), tiny_dimpnet())
    return ATOMTargets(ATOMParameters(init_CG_iter=2, init_GN_iter=1, CG_iter=2, **settings), tiny_atomnet())


def run(targets: OnlineTargets, count: int, frames: int, before: Callable[[], object] = lambda: None) -> list:
    """Results of all frames but the first, `before` being called ahead of each."""
    videos = [square_video(path) for path in PATHS[:count]]
    slots = [targets.add(video[0], path[0])[0] for video, path in zip(videos, PATHS)]
    results = []
    for number in range(1, frames):
        before()
        results += targets.track({slot: video[number] for slot, video in zip(slots, videos)}).values()
    return results


Cost = tuple[int, list[str], list[str]]


def costs(targets: OnlineTargets, counts: Counts, count: int, frames: int) -> list[Cost]:
    """Launches, waits and copies of each tracked frame."""
    found: list[Cost] = []

    def note() -> None:
        found.append((counts.launches, list(counts.waits), list(counts.copies)))
        counts.reset()

    run(targets, count, frames, note)
    note()
    return found[1:]


def cost_of_a_frame(kind: str, count: int, **changes) -> Cost:
    """That of the fifth frame, in which no target model learns."""
    with pretended() as counts:
        return costs(make(kind, "pretend", **changes), counts, count, 5)[-1]


@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_a_whole_run_on_the_device_gives_the_same(kind):
    expected = run(make(kind, "cpu"), 2, 5)
    with pretended() as counts:
        results = run(make(kind, "pretend"), 2, 5)
        assert counts.launches > 100
    assert [result.flag for result in results] == [result.flag for result in expected]
    np.testing.assert_allclose([result.box for result in results], [result.box for result in expected], atol=0.01)


@pytest.mark.cuda
@pytest.mark.parametrize("backend", ["auto", "cuda_graphs"])
@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_a_gpu_gives_the_boxes_of_the_cpu(kind, count, backend, gpu):
    if gpu == "cpu" and backend == "cuda_graphs":
        pytest.skip("there are no CUDA graphs on a CPU")
    expected, results = run(make(kind, "cpu"), count, 5), run(make(kind, gpu, backend=backend), count, 5)
    assert [result.flag for result in results] == [result.flag for result in expected]
    np.testing.assert_allclose([result.box for result in results], [result.box for result in expected], atol=0.5)


@pytest.fixture
def recording(monkeypatch):
    """CUDA graphs of the pretended device: inputs and outputs stay where they were recorded, a replay is one launch."""

    def record(function, held):
        outputs = function(*held)

        def replay(*inputs):
            for place, values in zip(held, inputs, strict=True):
                place.copy_(values)
            before = Counter(COUNTS.kernels), len(COUNTS.waits), len(COUNTS.copies)
            for place, values in zip(outputs, function(*held), strict=True):
                place.copy_(values)
            # No graph holds what the host waits for or sends.
            assert before[1:] == (len(COUNTS.waits), len(COUNTS.copies))
            COUNTS.kernels = before[0] + Counter(["replay"])
            return outputs

        return replay

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(backends, "_records", lambda device: device.type != "cpu")


@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_graphs_give_the_same_boxes(kind, recording):
    with pretended():
        expected = run(make(kind, "pretend"), 2, 5)
        results = run(make(kind, "pretend", backend="cuda_graphs"), 2, 5)
    assert [result.box for result in results] == [result.box for result in expected]


@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_graphs_replace_most_launches_of_a_frame(kind, recording):
    for count in (1, 16):
        launches, *others = cost_of_a_frame(kind, count, backend="cuda_graphs")
        plain, *same = cost_of_a_frame(kind, count)
        print(f"{kind}, {count}: {launches} launches, {plain} without graphs")
        assert launches < plain / 2
        assert list(map(len, others)) == list(map(len, same))


def test_graphs_need_a_gpu():
    with pytest.raises(UserError, match=r"'cuda_graphs', but 'cpu' is no NVIDIA GPU: set backend='auto'"):
        make("dimp", "cpu", backend="cuda_graphs")


@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_a_frame_waits_once_copies_once_and_launches_as_much_for_many_targets(kind):
    alone, waits, copies = cost_of_a_frame(kind, 1)
    assert len(waits) == 1, waits
    assert len(copies) == 1, copies
    assert alone <= 400
    together, waits, copies = cost_of_a_frame(kind, 16)
    assert len(waits) == 1 and len(copies) == 1, (waits, copies)
    assert together <= alone * 1.05 and together / 16 <= alone / 12


def test_a_frame_of_the_shipped_network_launches_at_most_400_kernels():
    """Of super_dimp, a ResNet-50 without penalties, too: what its backbone launches more is known."""
    with pretended() as counts:

        def launched(**changes: float) -> int:
            fixed = {"device": "pretend", "net_opt_iter": 1, "use_augmentation": False}
            params = load_parameters("dimp_nceplus_lite", "dimp", **fixed, **changes)
            (launches, waits, copies), *_ = reversed(costs(create_targets(params), counts, 1, 4))
            assert launches <= 400 and len(waits) == len(copies) == 1, (launches, waits, copies)
            return launches

        launches, plain = launched(), launched(displacement_penalty=0.0, distractor_penalty=0.0)
        samples = torch.zeros(1, 3, 352, 352, device="pretend")
        extra = []
        for network in (dimpnet_lite0(), dimpnet50()):
            backend = TorchBackend(network.eval().to("pretend"), 352)
            counts.reset()
            backend.extract(samples)
            extra.append(counts.launches)
        print(f"dimp_nceplus_lite: {launches} kernels; super_dimp: {plain - extra[0] + extra[1]}")
        assert plain - extra[0] + extra[1] <= 400


def test_boxes_that_leave_their_windows_are_refined_again():
    """With a step that throws boxes across the sample there is a second wait, and the answer of the CPU."""
    steps = {"box_refinement_step_length": (2e3, 1e-3), "box_refinement_iter": 2}
    expected = run(make("dimp", "cpu", **steps), 2, 3)
    with pretended() as counts:
        targets = make("dimp", "pretend", **steps)
        waits = [len(cost[1]) for cost in costs(targets, counts, 2, 3)]
        assert max(waits) > 1
    with pretended():
        results = run(make("dimp", "pretend", **steps), 2, 3)
    np.testing.assert_allclose([result.box for result in results], [result.box for result in expected], atol=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_every_objective_takes_a_step_on_the_device(name):
    def step(device: str) -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(0)
        head = BoxHead((3, 3), (8, 8), (8, 8)).eval()
        features = [torch.randn(2, 8, 16, 16), torch.randn(2, 8, 8, 8)]
        annotation = torch.tensor([[30.3, 41.7, 50.1, 39.2], [61.1, 50.9, 29.7, 31.3]])
        # Away from the scores near zero that a head starts with, where rounding is all there is.
        torch.nn.init.normal_(head.iou_predictor.weight, std=0.1)
        head.to(device)
        features, annotation = [feature.to(device) for feature in features], annotation.to(device)
        torch.manual_seed(1)
        loss = create_method(name, **SETTINGS[name]).loss(lambda boxes: head.score(features, boxes), annotation)
        loss.loss.mean().backward()
        gradients = [parameter.grad.cpu() for parameter in head.parameters() if parameter.grad is not None]
        return loss.loss.mean().item(), gradients

    expected, gradients = step("cpu")
    with pretended():
        found, on_device = step("pretend")
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6) and len(on_device) == len(gradients) > 0
    for one, other in zip(on_device, gradients):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_double_refuses_what_a_device_refuses_and_counts_the_rest():
    with pretended() as counts:
        there, here = torch.ones(3, device="pretend"), torch.ones(3)
        with pytest.raises(DeviceMix):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        counts.reset()
        total = (there * 2).sum()
        assert counts.launches == 2 and counts.waits == counts.copies == []
        assert float(total) == 6 and len(counts.waits) == 1
        here.to("pretend")
        torch.tensor([1.0], device="pretend")
        assert len(counts.copies) == 2
        there[torch.tensor([0])]
        assert len(counts.copies) == 3
        there[there > 0]
        assert len(counts.waits) == 2
