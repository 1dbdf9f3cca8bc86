"""What trackers take for an image, on every tracker: the unambiguous is taken, the rest refused in one line."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tracking import square_video, tiny_atomnet, tiny_dimpnet

from ltr.errors import UserError
from pytracking.registry import load_tracker
from pytracking.tracker.atom import ATOMParameters, ATOMTargets
from pytracking.tracker.base import TrackResult
from pytracking.tracker.dimp import DiMP, DiMPParameters
from pytracking.tracker.inputs import as_image, check_first_box
from pytracking.tracker.shared.online_tracker import OnlineTracker

BOX = (60, 40, 24, 24)
FRAMES = square_video([BOX, (63, 41, 24, 24)])
RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RGB[..., 0]
SMALL = {"device": "cpu", "image_sample_size": 128, "use_augmentation": False}

TAKEN = {
    "array": (RGB, RGB),
    "read-only": (np.frombuffer(RGB.tobytes(), np.uint8).reshape(RGB.shape), RGB),
    "grey": (GREY, np.stack([GREY] * 3, axis=2)),
    "one channel": (GREY[..., None], np.stack([GREY] * 3, axis=2)),
    "rgba": (np.dstack([RGB, GREY]), RGB),
    "float": (RGB / np.float32(255), RGB),
    "double": (RGB / 255, RGB),
    "PIL": (Image.fromarray(RGB), RGB),
    "PIL grey": (Image.fromarray(GREY), np.stack([GREY] * 3, axis=2)),
    "PIL rgba": (Image.fromarray(np.dstack([RGB, GREY])), RGB),
    "tensor": (torch.from_numpy(RGB).permute(2, 0, 1), RGB),
    "float tensor": (torch.from_numpy(RGB).permute(2, 0, 1) / 255, RGB),
    "half tensor": ((torch.from_numpy(RGB).permute(2, 0, 1) / 255).bfloat16(), None),
    "grey tensor": (torch.from_numpy(GREY)[None], np.stack([GREY] * 3, axis=2)),
}
REFUSED = {
    "nothing": (None, "not NoneType; was the file read"),
    "name": ("frame.jpg", "not str; was the file read"),
    "list": (RGB.tolist(), "not list"),
    "empty": (np.zeros((0, 0, 3), np.uint8), "at least 2 x 2"),
    "pixel": (np.zeros((1, 1, 3), np.uint8), "at least 2 x 2"),
    "line": (np.zeros((1, 9, 3), np.uint8), "at least 2 x 2"),
    "float 0..255": (RGB.astype(np.float32), r"must lie in 0\.\.1"),
    "negative": (RGB / 127.5 - 1, r"must lie in 0\.\.1"),
    "nan": (np.full((4, 4, 3), np.nan), r"must lie in 0\.\.1"),
    "uint16": (RGB.astype(np.uint16) * 256, "not uint16 .* scale it to 8 bits"),
    "int64": (RGB.astype(np.int64), "not int64"),
    "bool": (RGB > 3, "not bool"),
    "channels first": (RGB.transpose(2, 0, 1), r"transpose it by \(1, 2, 0\)"),
    "two channels": (RGB[..., :2], r"not uint8 \[6, 5, 2\]"),
    "batch": (RGB[None], r"not uint8 \[1, 6, 5, 3\]"),
    "batched tensor": (torch.zeros(1, 3, 6, 5), r"tensor has shape \[1, 3, 6, 5\]"),
    "channels last tensor": (torch.zeros(6, 5, 3), r"tensor has shape \[6, 5, 3\]"),
    "sparse tensor": (torch.zeros(3, 6, 5).to_sparse(), r"this sparse tensor has shape \[3, 6, 5\]"),
    "16 bit PIL": (Image.fromarray(GREY.astype(np.uint16)), "mode 'I;16'"),
    "too many pixels": (np.broadcast_to(np.uint8(0), (50000, 50000, 3)), "50000 x 50000 pixels; more than 67,108,864"),
    "too many floats": (np.broadcast_to(np.float32(0), (9000, 9000)), "9000 x 9000 pixels; more than"),
    "too large a PIL image": (Image.new("1", (9000, 9000)), "9000 x 9000 pixels; more than"),
    "too large a tensor": (torch.zeros(1).expand(3, 9000, 9000), "9000 x 9000 pixels; more than"),
    "objects": (np.full((4, 4, 3), None), "not object"),
}


@pytest.fixture(params=["dimp", "atom", "kcf", "csrt", "static"])
def tracker(request):
    if request.param == "dimp":
        return DiMP(DiMPParameters(**SMALL), tiny_dimpnet())
    if request.param == "atom":
        return OnlineTracker(ATOMTargets(ATOMParameters(**SMALL), tiny_atomnet()))
    return load_tracker("default", "static") if request.param == "static" else load_tracker(request.param)


@pytest.mark.parametrize("kind", TAKEN)
def test_an_unambiguous_image_is_taken(kind):
    image, expected = TAKEN[kind]
    pixels = as_image(image)
    assert pixels.dtype == np.uint8 and pixels.shape == RGB.shape
    if expected is not None:
        assert np.array_equal(pixels, expected)
    else:
        assert np.abs(pixels.astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("kind", REFUSED)
def test_any_other_is_refused_in_one_line(kind):
    image, message = REFUSED[kind]
    with pytest.raises(UserError, match=message) as caught:
        as_image(image)
    assert "\n" not in str(caught.value)


def test_bgr_turns_arrays_and_tensors_but_not_what_knows_its_colours():
    assert np.array_equal(as_image(RGB[..., ::-1], "bgr"), RGB)
    assert np.array_equal(as_image(torch.from_numpy(RGB[..., ::-1].copy()).permute(2, 0, 1), "bgr"), RGB)
    assert np.array_equal(as_image(Image.fromarray(RGB), "bgr"), RGB)
    with pytest.raises(UserError, match="did you mean 'bgr'"):
        as_image(RGB, "bgrr")


def test_every_tracker_takes_every_kind_and_gives_the_same(tracker):
    expected = [tracker.initialize(FRAMES[0], BOX).box, tracker.track(FRAMES[1]).box]
    for convert in (Image.fromarray, lambda image: torch.from_numpy(image).permute(2, 0, 1), lambda image: image / 255):
        first, second = (convert(frame) for frame in FRAMES)
        assert [tracker.initialize(first, BOX).box, tracker.track(second).box] == expected


def test_every_tracker_refuses_the_same_before_and_while_tracking(tracker):
    for image, message in REFUSED.values():
        with pytest.raises(UserError, match=message):
            tracker.initialize(image, BOX)
    tracker.initialize(FRAMES[0], BOX)
    for image, message in REFUSED.values():
        with pytest.raises(UserError, match=message):
            tracker.track(image)
    assert isinstance(tracker.track(FRAMES[1]), TrackResult)


def test_frames_may_change_their_size(tracker):
    tracker.initialize(FRAMES[0], BOX)
    for shape in ((240, 320, 3), (50, 70, 3), (120, 160, 3)):
        try:
            assert np.isfinite(tracker.track(np.full(shape, 90, np.uint8)).box).all()
        except UserError as error:
            assert "OpenCV" in str(error)  # Some of OpenCV's own filters cannot.


def test_a_tracker_of_bgr_images(tracker):
    expected = [tracker.initialize(FRAMES[0], BOX).box, tracker.track(FRAMES[1]).box]
    from pytracking.registry import _TrackerOfBGR

    turned = _TrackerOfBGR(tracker)
    first, second = (np.ascontiguousarray(frame[..., ::-1]) for frame in FRAMES)
    assert [turned.initialize(first, BOX).box, turned.track(second).box] == expected


def test_color_by_name():
    frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in FRAMES]
    rgb, bgr = load_tracker("kcf"), load_tracker("kcf", color="bgr")
    assert rgb.initialize(FRAMES[0], BOX).box == bgr.initialize(frames[0], BOX).box
    assert rgb.track(FRAMES[1]).box == bgr.track(frames[1]).box
    with pytest.raises(UserError, match="color"):
        load_tracker("kcf", color="blue")


@pytest.mark.parametrize("box", [np.array([BOX]), np.array(BOX, np.float32), list(BOX), {"init_bbox": list(BOX)}])
def test_the_first_box_in_other_forms(tracker, box):
    assert tracker.initialize(FRAMES[0], box).box == BOX


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ({"bbox": BOX}, "must have 'init_bbox', has"),
        ("60,40,24,24", "four numbers"),
        (None, "four numbers"),
        (np.zeros((4, 1)), r"shape \[4, 1\]"),
        ((60, 40, "a", 3), "four numbers"),
        ((0.4, 0.3, 0.2, 0.2), "parts of the image"),
        ((0, 0, 1, 1), "parts of the image"),
        ((100, 60, 140, 110), r"is it \(x1, y1, x2, y2\)\? Give"),
    ],
)
def test_first_boxes_that_cannot_be_meant(tracker, box, message):
    with pytest.raises(UserError, match=message):
        tracker.initialize(FRAMES[0], box)


def test_a_box_that_may_be_corners_is_warned_of():
    with pytest.warns(UserWarning, match=r"is it \(x1, y1, x2, y2\)"):
        assert check_first_box((40, 30, 150, 110), FRAMES[0]) == (40, 30, 150, 110)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for box in ((150, 110, 300, 300), (-30, -30, 150, 100), (5, 5, 155, 115), (140, 100, 40, 40)):
            check_first_box(box, FRAMES[0])


def test_kcf_does_not_find_half_a_pixel():
    kcf = load_tracker("kcf")
    kcf.initialize(FRAMES[0], (60, 40, 0.5, 0.5))
    assert kcf.track(FRAMES[1]).flag == "not_found"


def test_results_can_be_read_as_pytrackings():
    result = TrackResult((10.0, 20.0, 30.0, 40.0), 0.5, "normal", 0.01)
    assert result["target_bbox"] == [10, 20, 30, 40] and result["time"] == 0.01
    assert result.xyxy == (10, 20, 40, 60)
    with pytest.raises(KeyError):
        result["segmentation"]


def test_thresholds_may_change_between_frames():
    tracker = DiMP(DiMPParameters(**SMALL, target_not_found_threshold=-1e9), tiny_dimpnet())
    tracker.initialize(FRAMES[0], BOX)
    assert tracker.track(FRAMES[1]).flag != "not_found"
    tracker.change(target_not_found_threshold=1e9, num_init_random_boxes=3)
    assert tracker.track(FRAMES[1]).flag == "not_found" and tracker.params.target_not_found_threshold == 1e9
    tracker.change(target_not_found_threshold=-1e9)
    assert tracker.track(FRAMES[1]).flag != "not_found"
    with pytest.raises(UserError, match="unknown parameter that can be changed between frames 'seed'"):
        tracker.change(seed=3)
    with pytest.raises(UserError, match="iounet_k must lie between 1 and"):
        tracker.change(iounet_k=0)
    with pytest.raises(UserError, match="box_refinement_step_control must be bool, such as False, not 'no'"):
        tracker.change(box_refinement_step_control="no")
