"""OpenCV's trackers and the static box behind the common interface."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.evaluation.running import weights_checksum
from pytracking.networks import checksum
from pytracking.registry import load_parameters, load_tracker
from pytracking.tracker import opencv as opencv_module
from pytracking.tracker.opencv import ALGORITHMS, OpenCVParameters, OpenCVTracker, create


def moving_square(step: int) -> np.ndarray:
    """[120, 160, 3] uint8 RGB: a textured 40 x 40 square at (30 + step, 40) on a dim texture."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (120, 160, 3), dtype=np.uint8)
    patch = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (40, 40), interpolation=cv2.INTER_CUBIC)
    image[40:80, 30 + step : 70 + step] = patch
    return image


@pytest.mark.parametrize("name", ["kcf", "csrt", "mil", "mosse", "medianflow"])
def test_opencv_follows_a_moving_square(name: str) -> None:
    tracker = load_tracker(name)
    first = tracker.initialize(moving_square(0), (30, 40, 40, 40))
    assert (first.box, first.flag) == ((30, 40, 40, 40), "init")
    for step in (2, 4, 6, 8):
        result = tracker.track(moving_square(step))
        assert result.flag == "normal"
        assert result.time > 0
        assert np.allclose(result.box, (30 + step, 40, 40, 40), atol=6 if name == "mil" else 4)


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


@pytest.mark.parametrize("size", [(0.5, 0.5), (4, 4), (1, 60)])
def test_a_box_on_which_mil_would_search_for_ever_is_refused(size: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="MIL never finds features on the box"):
        load_tracker("mil").initialize(moving_square(0), (5, 5, *size))


def test_unknown_algorithm_and_opencv_without_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'csrt'"):
        create(OpenCVParameters("csr"))
    monkeypatch.delattr(cv2, "TrackerKCF_create")
    monkeypatch.delattr(cv2.legacy, "TrackerKCF_create")
    with pytest.raises(UserError, match="opencv-contrib-python-headless"):
        load_tracker("kcf")


def test_the_checksum_is_that_of_the_network_s_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the runner asks of every tracker with weights."""
    (tmp_path / "backbone.onnx").write_bytes(b"weights")
    monkeypatch.setattr(opencv_module, "_create", lambda params: cv2.TrackerKCF_create())
    params = load_parameters("nano", net_path=str(tmp_path))
    assert OpenCVTracker(params).weights_sha256 == weights_checksum(params) is not None
    assert OpenCVTracker(load_parameters("kcf")).weights_sha256 is None


@pytest.mark.parametrize("name", ["nano", "vit", "dasiamrpn"])
def test_trackers_with_a_network_say_which_files_they_need(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"opencv/{name} needs the weights of its network: set net_path"):
        load_tracker(name)
    with pytest.raises(UserError, match=r"no such .*folder"):
        load_tracker(name, net_path=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"no files .*needs exactly one"):
        load_tracker(name, net_path=str(tmp_path))
    for pattern in ALGORITHMS[name].weights.values():
        (tmp_path / pattern.replace("*", "")).write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot read the weights"):
        load_tracker(name, net_path=str(tmp_path))


@pytest.mark.parametrize("box", [(10, 10, 0.5, 0.5), (159.4, 119.4, 0.5, 0.5), (50, 50, 0.5, 20)])
def test_a_target_of_half_a_pixel_is_not_found(box: tuple[float, ...]) -> None:
    tracker = load_tracker("kcf")
    tracker.initialize(moving_square(0), box)
    result = tracker.track(moving_square(2))
    assert (result.flag, result.score) == ("not_found", 0)
    assert result.box == box


def test_goturn_is_refused_where_opencv_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "TrackerGOTURN_create", raising=False)
    with pytest.raises(UserError, match="has no GOTURN tracker"):
        load_tracker("goturn")


def test_a_folder_of_weights_has_a_checksum_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"1")
    (tmp_path / "b.onnx").write_bytes(b"2")
    first = checksum(tmp_path)
    assert first == checksum(tmp_path)
    (tmp_path / "b.onnx").write_bytes(b"3")
    assert checksum(tmp_path) != first
