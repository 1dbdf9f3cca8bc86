"""Our trackers as OpenCV's users call them, and results as supervision's users want them."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

import pytracking
from ltr.errors import MissingPackageError
from pytracking.evaluation.datasets import get_dataset
from pytracking.interop import to_detections
from pytracking.tracker.base import TrackResult


def test_the_cv2_interface_gives_the_same_boxes_from_bgr_images() -> None:
    sequence = get_dataset("demo", sequences=["mug"])[0]
    frames = [cv2.imread(str(path)) for path in sequence.frames[:4]]
    box = tuple(float(value) for value in sequence.ground_truth_rect[0])
    ours, theirs = pytracking.load_tracker("kcf"), pytracking.cv2_tracker("kcf")
    ours.initialize(cv2.cvtColor(frames[0], cv2.COLOR_BGR2RGB), box)
    assert theirs.init(frames[0], box) is None
    for frame in frames[1:]:
        found, at = theirs.update(frame)
        assert found is True
        assert at == ours.track(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).box
    assert theirs.result is not None and theirs.result.flag == "normal"


def test_a_lost_target_is_false_with_the_last_box() -> None:
    tracker = pytracking.cv2_tracker("kcf")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (120, 160, 3), dtype=np.uint8)
    image[40:80, 30:70] = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (40, 40))
    tracker.init(image, (30, 40, 40, 40))
    found, last = tracker.update(image)
    assert found
    assert tracker.update(np.full((120, 160, 3), 128, np.uint8)) == (False, last)


def test_results_become_detections_with_their_ids() -> None:
    pytest.importorskip("supervision")
    results = {
        4: TrackResult((10, 20, 30, 40), 0.5, "normal", 0.0),
        7: TrackResult((0, 0, 5, 5), 0.0, "not_found", 0.0),
        9: TrackResult((1, 2, 3, 4), 1.25, "uncertain", 0.0),
    }
    detections = to_detections(results)
    assert detections.xyxy.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert detections.confidence.tolist() == [0.5, 1.25]
    assert detections.tracker_id.tolist() == [4, 9]
    assert detections.data["flag"].tolist() == ["normal", "uncertain"]
    assert to_detections(results[4]).tracker_id.tolist() == [0]
    assert len(to_detections(results[7])) == 0


def test_supervision_is_imported_only_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingPackageError, match=r"ebm-tracking\[supervision\]"):
        to_detections(TrackResult((1, 2, 3, 4), 1.0, "normal", 0.0))
