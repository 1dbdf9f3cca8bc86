"""The OSTrack tracker against whole runs of its public code."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import fill_by_rule, load_golden

from ltr.admin.checkpoint import save_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.ebm.ascent import gradient_ascent
from ltr.errors import UserError
from ltr.models.tracking.ostrack import EnergyOSTrack, OSTrack, ostrack, ostrack_energy
from ltr.ops.square_crops import square_crop
from ltr.run_training import load_recipe
from pytracking import load_tracker
from pytracking.tracker.base import TargetErrors
from pytracking.tracker.ostrack import (
    OSTrackParameters,
    OSTrackTargets,
    OSTrackTracker,
    box_in_image,
    hann_window,
    kept_inside,
)
from pytracking.tracker.shared.refinement import climb, draw_jitter, propose, refine
from pytracking.tracker.shared.uncertainty import ascent_rows, uncertainty_of

TOY: dict[str, Any] = {"width": 48, "depth": 3, "heads": 3, "head_channels": 128, "elimination_blocks": (0, 2)}
FRAMES = load_golden("online_tracking")["frames"]


def network(name: str, run: str) -> OSTrack:
    """The network of a golden run: filled by rule, and for `stable` and `noce` with boxes that stay small."""
    golden = load_golden(f"ostrack_{name}")
    net = fill_by_rule(ostrack(candidate_elimination=run != "noce", **(TOY if name == "toy" else {})))
    assert isinstance(net, OSTrack)
    if run != "plain":
        size: Any = net.box_head.get_submodule("conv5_size")
        with torch.no_grad():
            size.bias.copy_(torch.from_numpy(golden["online_stable_size_bias"]))
            size.weight.mul_(float(golden["online_stable_size_weight_scale"]))
    return net


# The whole runs of the toy, and of the large network as many frames as must agree.
@pytest.mark.parametrize(
    ("name", "run", "frames"),
    [("toy", "plain", 15), ("toy", "stable", 15), ("toy", "noce", 15), ("256", "stable", 5), ("256", "noce", 15)],
)
def test_whole_runs_equal_the_reference(name: str, run: str, frames: int) -> None:
    golden = load_golden(f"ostrack_{name}")
    tracker = OSTrackTracker(OSTrackParameters(device="cpu"), network(name, run))
    tracker.initialize(FRAMES[0], golden["online_first_box"].astype(np.float64))
    for index in range(frames):
        result = tracker.track(FRAMES[index + 1])
        assert result.box == pytest.approx(golden[f"online_{run}_boxes"][index + 1], abs=1e-3), index
        assert result.score == pytest.approx(golden[f"online_{run}_max_score"][index], rel=1e-5)


def test_box_update_equals_the_reference() -> None:
    golden = load_golden("ostrack_crops")
    for row, wanted in zip(golden["update_in"], golden["update_out"]):
        found = box_in_image(tuple(row[:4]), row[4:8].astype(np.float32), int(row[8]), row[9])
        assert kept_inside(found, (row[10], row[11])) == pytest.approx(wanted, abs=1e-4)


def test_window_equals_the_reference() -> None:
    assert torch.allclose(hann_window(16), torch.from_numpy(load_golden("ostrack_toy")["hann"]), atol=1e-6)


def test_elimination_can_be_switched_off_but_not_on() -> None:
    golden = load_golden("ostrack_toy")
    box = golden["online_first_box"].astype(np.float64)
    off = OSTrackTracker(OSTrackParameters(device="cpu", candidate_elimination=False), network("toy", "stable"))
    never = OSTrackTracker(OSTrackParameters(device="cpu"), network("toy", "noce"))
    for tracker in (off, never):
        tracker.initialize(FRAMES[0], box)
    assert off.track(FRAMES[1]).box == never.track(FRAMES[1]).box
    with pytest.raises(UserError, match="without it"):
        OSTrackTracker(OSTrackParameters(candidate_elimination=True), network("toy", "noce"))


@pytest.fixture(scope="module")
def energy_network() -> EnergyOSTrack:
    """The toy whose boxes stay small, and an energy on its tokens."""
    torch.manual_seed(0)
    net = ostrack_energy(box_channels=16, **{name: value for name, value in TOY.items() if name[:11] != "elimination"})
    net.load_state_dict(net.state_dict() | network("toy", "noce").state_dict())
    torch.nn.init.normal_(net.bb_regressor.iou_predictor.weight)
    return net.eval()


def test_boxes_climb_the_energy_from_the_centre_heads_box(energy_network: EnergyOSTrack) -> None:
    """By hand and autograd: crop, start, ascent, mean of the best, and back to the image."""
    first = load_golden("ostrack_toy")["online_first_box"].astype(np.float64)
    params = OSTrackParameters(device="cpu", box_refinement_step_length=1e-2)
    plain = OSTrackTracker(OSTrackParameters(device="cpu"), network("toy", "noce"))
    tracker = OSTrackTracker(params, energy_network)
    for each in (plain, tracker):
        each.initialize(FRAMES[0], first)
    start, found = plain.track(FRAMES[1]), tracker.track(FRAMES[1])
    assert found.score == pytest.approx(start.score, rel=1e-6)
    assert found.box != pytest.approx(start.box, abs=0.1)

    template, search = (square_crop(FRAMES[k], first, *size) for k, size in enumerate(((2.0, 128), (4.0, 256))))
    tensors = [energy_network.normalise(torch.from_numpy(c.patch).permute(2, 0, 1)[None]) for c in (template, search)]
    head, features = energy_network.bb_regressor, energy_network(*tensors).features
    modulation = head.get_modulation([features.template], torch.tensor([template.of_image(first)]).float())
    modulated = head.modulate(modulation, head.get_iou_feat([features.search]))
    jitter = draw_jitter(params, torch.Generator().manual_seed(0))
    starts = propose(torch.tensor([search.of_image(start.box)]), jitter[None], params)
    boxes, _ = refine(partial(gradient_ascent, lambda points: head.score(modulated, points)), starts, params)
    assert found.box == pytest.approx(search.in_image(boxes[0].tolist()), abs=1e-2)


def test_the_energy_can_be_left_out_and_must_be_there_to_be_used(energy_network: EnergyOSTrack) -> None:
    first = load_golden("ostrack_toy")["online_first_box"].astype(np.float64)
    off = OSTrackTracker(OSTrackParameters(device="cpu", use_iou_net=False), energy_network)
    plain = OSTrackTracker(OSTrackParameters(device="cpu"), network("toy", "noce"))
    for tracker in (off, plain):
        tracker.initialize(FRAMES[0], first)
    assert off.track(FRAMES[1]).box == plain.track(FRAMES[1]).box
    with pytest.raises(UserError, match="no energy"):
        OSTrackTracker(OSTrackParameters(device="cpu", use_iou_net=True), network("toy", "noce"))


def test_the_energy_says_how_sure_the_box_is(energy_network: EnergyOSTrack) -> None:
    """As by autograd in the search crop, in the image's pixels; it changes no box."""
    first = load_golden("ostrack_toy")["online_first_box"].astype(np.float64)
    params = OSTrackParameters(device="cpu", box_refinement_step_length=1e-2)
    tracker = OSTrackTracker(params, energy_network)
    assert tracker.initialize(FRAMES[0], first).uncertainty is None
    found = tracker.track(FRAMES[1])
    assert found.uncertainty is not None
    plain = OSTrackTracker(replace(params, box_uncertainty=False), energy_network)
    plain.initialize(FRAMES[0], first)
    without = plain.track(FRAMES[1])
    head_alone = OSTrackTracker(replace(params, use_iou_net=False), energy_network)
    head_alone.initialize(FRAMES[0], first)
    start = head_alone.track(FRAMES[1])
    assert (without.box, without.uncertainty) == (found.box, None)

    search = square_crop(FRAMES[1], first, 4.0, 256)
    template = square_crop(FRAMES[0], first, 2.0, 128)
    tensors = [energy_network.normalise(torch.from_numpy(c.patch).permute(2, 0, 1)[None]) for c in (template, search)]
    head, features = energy_network.bb_regressor, energy_network(*tensors).features
    modulation = head.get_modulation([features.template], torch.tensor([template.of_image(first)]).float())
    modulated = head.modulate(modulation, head.get_iou_feat([features.search]))
    starts = propose(
        torch.tensor([search.of_image(start.box)]), draw_jitter(params, torch.Generator().manual_seed(0))[None], params
    )
    reached, _ = climb(partial(gradient_ascent, lambda points: head.score(modulated, points)), starts, params)
    (row,) = ascent_rows(starts, reached, torch.tensor([True]), torch.tensor([1 / search.scale]))
    by_hand = uncertainty_of(row, found.box, params)
    assert vars(found.uncertainty) == pytest.approx(vars(by_hand), rel=1e-3)
    assert 0 < found.uncertainty.w < found.box[2]

    for wrong in ({"box_refinement_space": "absolute"}, {"use_iou_net": False}):
        with pytest.raises(UserError, match="box_uncertainty needs boxes"):
            replace(params, box_uncertainty=True, **wrong)
    with pytest.raises(UserError, match="this network has no energy"):
        OSTrackTracker(replace(params, box_uncertainty=True), network("toy", "noce"))


def test_runs_with_an_energy_repeat_and_stay_in_the_image(energy_network: EnergyOSTrack) -> None:
    first = load_golden("ostrack_toy")["online_first_box"].astype(np.float64)
    tracker = OSTrackTracker(OSTrackParameters(device="cpu"), energy_network)
    runs = []
    for _ in range(2):
        tracker.initialize(FRAMES[0], first)
        runs.append([tracker.track(frame).box for frame in FRAMES[1:5]])
    assert runs[0] == runs[1]
    height, width = FRAMES[0].shape[:2]
    assert all(x >= 0 and y >= 0 and x + w <= width + 1e-6 and y + h <= height + 1e-6 for x, y, w, h in runs[0])


def test_a_file_of_the_energy_tracks_by_the_name_of_its_recipe(energy_network: EnergyOSTrack, tmp_path: Path) -> None:
    arguments = {name: list(value) if name == "elimination_blocks" else value for name, value in TOY.items()}
    constructor = NetworkConstructor("ostrack_energy", {**arguments, "box_channels": 16})
    recipe = load_recipe(["ostrack_256_nceplus"])
    path = tmp_path / "network.safetensors"
    save_network(path, energy_network, constructor, tracking={**recipe.tracking_settings(), "box_refinement_iter": 4})
    found: Any = load_tracker("ostrack_256_nceplus", net_path=str(path), device="cpu")
    first = load_golden("ostrack_toy")["online_first_box"].astype(np.float64)
    assert (found.params.template_factor, found.params.search_factor, found.params.box_refinement_iter) == (2, 4, 4)
    by_hand = OSTrackTracker(OSTrackParameters(device="cpu", box_refinement_iter=4), energy_network)
    for tracker in (found, by_hand):
        tracker.initialize(FRAMES[0], first)
    assert found.track(FRAMES[1]).box == by_hand.track(FRAMES[1]).box
    assert found.weights_sha256


@pytest.mark.parametrize("refines", [True, False])
def test_many_targets_at_once_are_tracked_as_each_alone(energy_network: EnergyOSTrack, refines: bool) -> None:
    params = OSTrackParameters(device="cpu", use_iou_net=refines, box_refinement_iter=3)
    first = load_golden("ostrack_toy")["online_first_box"].astype(np.float64)
    boxes = list(first + np.array([[0, 0, 0, 0], [10, -6, 4, 8], [-8, 5, -4, 6]]))
    together = OSTrackTargets(params, energy_network)
    slots = [together.add(FRAMES[0], box)[0] for box in boxes]
    assert slots == [0, 1, 2]
    found = [together.track(dict.fromkeys(slots, frame)) for frame in FRAMES[1:3]]
    for slot, box in zip(slots, boxes):
        alone = OSTrackTracker(params, energy_network)
        alone.initialize(FRAMES[0], box)
        for frame, results in zip(FRAMES[1:3], found):
            wanted = alone.track(frame)
            assert results[slot].box == pytest.approx(wanted.box, abs=1e-2)
            assert results[slot].score == pytest.approx(wanted.score, rel=1e-4)

    with pytest.raises(TargetErrors) as caught:
        together.track({0: FRAMES[3], 2: np.zeros((4, 4), np.float32) + np.nan})
    assert set(caught.value.errors) == {2} and set(caught.value.results) == {0}
    together.remove(1)
    assert 1 not in together and together.add(FRAMES[3], first)[0] == 1
    together.change(box_refinement_iter=5)
    with pytest.raises(UserError, match="search_factor"):
        together.change(search_factor=5.0)


def test_broken_weights_are_an_error_and_not_a_box() -> None:
    net = network("toy", "noce")
    tracker = OSTrackTracker(OSTrackParameters(device="cpu"), net)
    tracker.initialize(FRAMES[0], load_golden("ostrack_toy")["online_first_box"].astype(np.float64))
    torch.nn.init.constant_(net.backbone.norm.weight, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        tracker.track(FRAMES[1])


def test_it_cannot_track_before_it_was_started() -> None:
    tracker = OSTrackTracker(OSTrackParameters(device="cpu"), network("toy", "noce"))
    with pytest.raises(RuntimeError, match="before initialize"):
        tracker.track(FRAMES[0])
