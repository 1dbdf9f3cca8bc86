from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_tracking import square_video, tiny_atomnet

from ltr.admin.checkpoint import save_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import UserError
from pytracking.features.augmentation import NO_AUGMENTATION
from pytracking.networks import checksum
from pytracking.registry import load_tracker
from pytracking.tracker.atom import ATOMParameters, ATOMTargets, atom
from pytracking.tracker.atom.classifier import compress, normalise_power
from pytracking.tracker.shared.online_tracker import OnlineTracker

SQUARE = (60, 40, 24, 24)
MOVING = [(60 + 3 * step, 40 + step, 24, 24) for step in range(12)]
NORMAL = {"hard_negative_threshold": 1e9, "distractor_threshold": 1e9, "target_not_found_threshold": -1e9}
HARD_NEGATIVE = {"hard_negative_threshold": -1e9, "distractor_threshold": 1e9, "target_not_found_threshold": -1e9}


def make(**changes) -> OnlineTracker:
    base = {"device": "cpu", "image_sample_size": 128, "use_iou_net": False, "target_not_found_threshold": 0.1}
    return OnlineTracker(ATOMTargets(ATOMParameters(**{**base, **changes}), tiny_atomnet()))


def run(tracker: OnlineTracker, frames, box=SQUARE):
    return [tracker.initialize(frames[0], box)] + [tracker.track(frame) for frame in frames[1:]]


def fits(monkeypatch) -> list[tuple[int, int]]:
    """(iterations, samples) of every fit of the filter alone, filled while trackers run."""
    calls: list[tuple[int, int]] = []
    fit_filter = atom.fit_filter

    def recorded(filters, samples, labels, weights, parameters, iterations):
        calls.append((iterations, len(samples)))
        return fit_filter(filters, samples, labels, weights, parameters, iterations)

    monkeypatch.setattr(atom, "fit_filter", recorded)
    return calls


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_follows_with_an_odd_filter(kernel_size):
    cell = 15
    for result, (x, y, w, h) in zip(run(make(kernel_size=kernel_size), square_video(MOVING)), MOVING):
        left, top, width, height = result.box
        assert abs(left + width / 2 - x - w / 2) < cell and abs(top + height / 2 - y - h / 2) < cell


def test_the_filter_is_updated_every_tenth_frame_by_five_iterations(monkeypatch):
    calls, tracker = fits(monkeypatch), make(**NORMAL)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    first = tracker.targets.filters.of(0).clone()
    for frame in frames[1:10]:
        tracker.track(frame)
    assert calls == [] and torch.equal(tracker.targets.filters.of(0), first)
    tracker.track(frames[10])
    # The eleventh frame: 30 samples of the first one, and ten new ones.
    assert calls == [(5, 40)] and not torch.equal(tracker.targets.filters.of(0), first)


def test_a_hard_negative_updates_the_filter_at_once(monkeypatch):
    calls = fits(monkeypatch)
    run(make(hard_negative_CG_iter=3, **HARD_NEGATIVE), square_video(MOVING[:4]))
    assert calls == [(3, 31), (3, 32), (3, 33)]


def test_the_projection_is_learned_on_the_first_frame_only():
    tracker, frames = make(**HARD_NEGATIVE), square_video(MOVING[:4])
    tracker.initialize(frames[0], SQUARE)
    projection = tracker.targets.projections.of(0).clone()
    targets = tracker.targets
    features = targets._extract(targets._first_frame_samples(frames[0], targets._targets[0])[0][:1])[1]
    torch.testing.assert_close(features, normalise_power(features))
    torch.testing.assert_close(tracker.memory.stored[0][:1], compress(projection, features))
    for frame in frames[1:]:
        tracker.track(frame)
    assert torch.equal(tracker.targets.projections.of(0), projection)


def test_the_first_frame_is_augmented_into_thirty_samples():
    tracker = make()
    tracker.initialize(square_video([SQUARE])[0], SQUARE)
    features, boxes, weights = tracker.memory.stored
    assert features.shape == (30, 64, 8, 8) and boxes.shape == (30, 4)
    assert weights.tolist() == pytest.approx([1 / 30] * 30)


def test_the_memory_holds_250_samples_and_goes_on():
    tracker = make(**NORMAL, CG_iter=0, init_CG_iter=6)
    frames = square_video([SQUARE])
    tracker.initialize(frames[0], SQUARE)
    for _ in range(225):
        tracker.track(frames[0])
    features, _, weights = tracker.memory.stored
    assert tracker.memory.num_stored == 255 and len(features) == 250
    assert weights[:30].sum().item() >= 0.25 - 1e-5


def test_labels_are_gaussians_of_a_quarter_of_the_target():
    tracker = make(augmentation=NO_AUGMENTATION)
    tracker.initialize(square_video([SQUARE])[0], SQUARE)
    (label,) = tracker.targets._labels(tracker.memory.stored[1])
    # The target's side is 128 / 5 pixels or 1.6 cells; sigma 0.4 cells about the middle of 9.
    distance = torch.arange(-4, 5)
    expected = torch.exp(-distance.square()[:, None] / (2 * 0.4**2)) * torch.exp(-distance.square() / (2 * 0.4**2))
    # The sample is centred on the target's position rounded to a pixel.
    assert label.shape == (9, 9)
    torch.testing.assert_close(label, expected, atol=0.02, rtol=0)


def test_another_seed_starts_from_other_layers():
    frame = square_video([SQUARE])[0]
    filters = []
    for seed in (1, 1, 2):
        tracker = make(seed=seed, random_shift_factor=None, init_CG_iter=0)
        tracker.initialize(frame, SQUARE)
        filters.append(tracker.targets.filters.of(0))
    assert torch.equal(filters[0], filters[1]) and not torch.equal(filters[0], filters[2])


def test_too_small_a_memory_is_one_clear_line():
    with pytest.raises(ValueError, match="sample_memory_size is 30, but the first frame alone gives 30"):
        make(sample_memory_size=30).initialize(square_video([SQUARE])[0], SQUARE)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    arguments = {"atom_resnet18": {}, "dimpnet_lite0": {"out_feature_dim": 16, "box_dim": 16}}
    for name in arguments:
        constructor = NetworkConstructor(name, arguments[name])
        torch.manual_seed(0)
        save_network(folder / f"{name}.safetensors", constructor.build(), constructor)
    return folder


@pytest.mark.parametrize("parameter", ["default", "atom_mlis", "atom_kldis"])
def test_a_tracker_by_name(checkpoints, parameter):
    path = checkpoints / "atom_resnet18.safetensors"
    changes = {"image_sample_size": 128, "use_augmentation": False, "target_not_found_threshold": -1e9}
    tracker = load_tracker(parameter, "atom", net_path=str(path), device="cpu", **changes)
    assert isinstance(tracker.targets, ATOMTargets) and tracker.weights_sha256 == checksum(path)
    for result in run(tracker, square_video(MOVING[:3])):
        assert np.isfinite(result.box).all() and np.isfinite(result.score)


def test_a_network_of_another_kind_is_refused(checkpoints):
    with pytest.raises(UserError, match=r"dimpnet_lite0\.safetensors holds DiMPNet, but this tracker wants AtomNet"):
        load_tracker("default", "atom", net_path=str(checkpoints / "dimpnet_lite0.safetensors"))
    with pytest.raises(UserError, match=r"atom_resnet18\.safetensors holds AtomNet, but this tracker wants DiMPNet"):
        load_tracker("dimp18", net_path=str(checkpoints / "atom_resnet18.safetensors"))
