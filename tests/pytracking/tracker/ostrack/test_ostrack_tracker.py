"""The OSTrack tracker against whole runs of its public code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from golden import fill_by_rule, load_golden

from ltr.errors import UserError
from ltr.models.tracking.ostrack import OSTrack, ostrack
from pytracking.tracker.ostrack import OSTrackParameters, OSTrackTracker, box_in_image, hann_window

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
        found = box_in_image(tuple(row[:4]), row[4:8].astype(np.float32), int(row[8]), row[9], (row[10], row[11]))
        assert found == pytest.approx(wanted, abs=1e-4)


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


def test_it_cannot_track_before_it_was_started() -> None:
    tracker = OSTrackTracker(OSTrackParameters(device="cpu"), network("toy", "noce"))
    with pytest.raises(RuntimeError, match="before initialize"):
        tracker.track(FRAMES[0])
