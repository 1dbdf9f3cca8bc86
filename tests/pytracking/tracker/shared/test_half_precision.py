"""Half-precision features on a real backbone: scores and refined boxes of one frame against float32, on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from golden import fill_by_rule, load_golden

from ltr.models.bbreg.atom import atom_resnet18
from ltr.models.tracking.dimpnet import dimpnet18
from pytracking import backends
from pytracking.registry import load_parameters
from pytracking.tracker.atom import ATOMTargets
from pytracking.tracker.dimp import DiMP
from pytracking.tracker.shared.online_tracker import OnlineTracker
from pytracking.tracker.shared.rows import Slots

CHANGES = {
    "device": "cpu",
    "image_sample_size": 144,
    "use_augmentation": False,
    "search_area_scale": 4.0,
    "target_not_found_threshold": -1e9,
}


def second_frame(kind: str, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Score map and refined box of the frame after the first, the target where it was."""
    golden = load_golden("online_tracking")
    if kind == "dimp":
        params = load_parameters("dimp18", "dimp", precision=precision, **CHANGES)
        tracker = DiMP(params, fill_by_rule(dimpnet18()))
    else:
        params = load_parameters("default", "atom", precision=precision, **CHANGES)
        tracker = OnlineTracker(ATOMTargets(params, fill_by_rule(atom_resnet18())))
    tracker.initialize(golden["frames"][0], golden["gt_boxes"][0])
    targets = tracker.targets
    slots = Slots([0], targets.device)
    sample, search = targets._crop({0: golden["frames"][1]})
    layers, features = targets._extract(sample)
    scores = targets._score_maps(slots, features)
    answers = targets._answers(slots, targets._localise(scores, search), layers, search)
    return scores[0].numpy(), answers.target.boxes()[0]


@pytest.mark.parametrize("kind", ["dimp", "atom"])
def test_bfloat16_is_near_float32(kind, monkeypatch):
    monkeypatch.setattr(backends, "has_bf16", lambda: True)
    scores, box = second_frame(kind, "fp32")
    half_scores, half_box = second_frame(kind, "bf16")
    error = np.abs(half_scores - scores).max() / np.abs(scores).max()
    assert 0 < error < 0.2
    assert 0 < np.abs(half_box - box).max() < 1
