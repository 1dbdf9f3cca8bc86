"""OpenCV's trackers and the static box behind the common interface."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.registry import load_tracker
from pytracking.tracker.opencv import OpenCVParameters, create


def moving_square(step: int) -> np.ndarray:
    """[120, 160, 3] uint8 RGB: a textured 40 x 40 square at (30 + step, 40) on a dim texture."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (120, 160, 3), dtype=np.uint8)
    patch = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (40, 40), interpolation=cv2.INTER_CUBIC)
    image[40:80, 30 + step : 70 + step] = patch
    return image


@pytest.mark.parametrize("name", ["kcf", "csrt"])
def test_opencv_follows_a_moving_square(name: str) -> None:
    tracker = load_tracker(name)
    first = tracker.initialize(moving_square(0), (30, 40, 40, 40))
    assert (first.box, first.flag) == ((30, 40, 40, 40), "init")
    for step in (2, 4, 6, 8):
        result = tracker.track(moving_square(step))
        assert result.flag == "normal"
        assert result.time > 0
        assert np.allclose(result.box, (30 + step, 40, 40, 40), atol=4)


@pytest.mark.parametrize(("tracker_name", "name"), [("opencv", "kcf"), ("opencv", "csrt"), ("static", "default")])
def test_initialize_starts_afresh(tracker_name: str, name: str) -> None:
    tracker = load_tracker(name, tracker_name)
    runs = []
    for _ in range(2):
        tracker.initialize(moving_square(0), (30, 40, 40, 40))
        runs.append([tracker.track(moving_square(step)).box for step in (2, 4)])
    assert runs[0] == runs[1]


def test_a_lost_target_keeps_the_last_box_and_says_so() -> None:
    tracker = load_tracker("kcf")
    tracker.initialize(moving_square(0), (30, 40, 40, 40))
    last = tracker.track(moving_square(2))
    lost = tracker.track(np.full((120, 160, 3), 128, np.uint8))
    assert lost.flag == "not_found"
    assert lost.score == 0
    assert lost.box == last.box


def test_images_are_handed_over_as_bgr(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Spy:
        def init(self, image: np.ndarray, box: tuple[int, int, int, int]) -> None:
            seen.append((image[0, 0].tolist(), box))

    monkeypatch.setattr(cv2, "TrackerKCF_create", Spy)
    image = np.zeros((50, 60, 3), np.uint8)
    image[...] = (200, 100, 50)
    load_tracker("kcf").initialize(image, (-4.4, 10.6, 20, 100))
    assert seen == [([50, 100, 200], (0, 11, 16, 39))]


def test_the_static_box_never_moves() -> None:
    tracker = load_tracker("default", "static")
    box = (1.25, 2.5, 30, 40)
    tracker.initialize(moving_square(0), box)
    assert tracker.track(moving_square(9)).box == box


@pytest.mark.parametrize(("tracker_name", "name"), [("opencv", "kcf"), ("opencv", "csrt"), ("static", "default")])
def test_bad_first_box_and_track_before_initialize(tracker_name: str, name: str) -> None:
    tracker = load_tracker(name, tracker_name)
    with pytest.raises(RuntimeError, match="before initialize"):
        tracker.track(moving_square(0))
    with pytest.raises(ValueError, match="empty"):
        tracker.initialize(moving_square(0), (1, 1, 0, 5))


def test_a_box_too_small_for_csrt_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="CSRT cannot start on the box"):
        load_tracker("csrt").initialize(moving_square(0), (5, 5, 0.4, 0.4))


def test_unknown_algorithm_and_opencv_without_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'CSRT'"):
        create(OpenCVParameters("CSR"))
    monkeypatch.delattr(cv2, "TrackerKCF_create")
    with pytest.raises(UserError, match="opencv-contrib-python-headless"):
        load_tracker("kcf")
