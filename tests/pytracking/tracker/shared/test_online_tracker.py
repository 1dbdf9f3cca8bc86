"""What every online tracker does alike, tried on each of them with a tiny network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_tracking import square_video, tiny_atomnet, tiny_dimpnet

from ltr.ebm.ascent import gradient_ascent
from ltr.errors import UserError
from pytracking import backends
from pytracking.tracker.atom import ATOMParameters, ATOMTargets
from pytracking.tracker.dimp import DiMP, DiMPParameters
from pytracking.tracker.shared.online_tracker import OnlineTracker

SQUARE = (60, 40, 24, 24)
MOVING = [(60 + 3 * step, 40 + step, 24, 24) for step in range(8)]
BASE = {
    "device": "cpu",
    "image_sample_size": 128,
    "search_area_scale": 5.0,
    "border_mode": "replicate",
    "use_iou_net": False,
    "target_not_found_threshold": 0.1,
}

Make = Callable[..., OnlineTracker]


def make_dimp(**changes) -> DiMP:
    return DiMP(DiMPParameters(**{**BASE, **changes}), tiny_dimpnet())


def make_atom(**changes) -> OnlineTracker:
    return OnlineTracker(ATOMTargets(ATOMParameters(**{**BASE, **changes}), tiny_atomnet()))


@pytest.fixture(params=[make_dimp, make_atom], ids=["dimp", "atom"])
def make(request) -> Make:
    return request.param


def run(tracker: OnlineTracker, frames, box=SQUARE):
    return [tracker.initialize(frames[0], box)] + [tracker.track(frame) for frame in frames[1:]]


def centre_error(result, box) -> float:
    x, y, w, h = result.box
    return float(np.hypot(x + w / 2 - box[0] - box[2] / 2, y + h / 2 - box[1] - box[3] / 2))


def updates_of(tracker: OnlineTracker) -> list[bool]:
    """Whether each update of the target model was for a hard negative, filled while the tracker runs."""
    updates: list[bool] = []
    update = tracker.targets._update_model

    def recorded(slots, hard_negative: bool) -> None:
        updates.append(hard_negative)
        update(slots, hard_negative)

    tracker.targets._update_model = recorded
    return updates


def test_follows_a_moving_square(make):
    for result, box in zip(run(make(), square_video(MOVING)), MOVING):
        assert centre_error(result, box) < 12, (result, box)


def test_results_are_python_floats_in_the_agreed_form(make):
    first, second = run(make(), square_video(MOVING[:2]))
    assert (first.box, first.flag, first.score) == (SQUARE, "init", 1.0)
    assert second.flag in ("normal", "hard_negative", "uncertain", "not_found")
    assert all(type(value) is float for value in (*second.box, second.score, second.time, *first.box))


def test_follows_a_large_target_that_is_sampled_down(make):
    boxes = [(180 + 12 * step, 130 + 4 * step, 150, 150) for step in range(6)]
    tracker = make()
    results = run(tracker, square_video(boxes, size=(420, 560)), boxes[0])
    assert tracker.targets.state(0).scale.item() > 5
    for result, box in zip(results, boxes):
        assert centre_error(result, box) < 70, (result, box)


@pytest.mark.parametrize("border_mode", ["inside", "inside_major"])
def test_follows_with_the_sample_kept_inside(make, border_mode):
    tracker = make(border_mode=border_mode, patch_max_scale_change=1.5)
    for result, box in zip(run(tracker, square_video(MOVING)), MOVING):
        assert centre_error(result, box) < 12, (result, box)


def test_a_fifth_of_the_target_stays_inside_the_image(make):
    boxes = [(60 - 8 * step, 40, 24, 24) for step in range(14)]
    tracker = make(target_not_found_threshold=-1e9)
    for result in run(tracker, square_video(boxes)):
        x, y, w, h = result.box
        assert min(x + w, 160) - max(x, 0) >= 0.2 * w - 1 and min(y + h, 120) - max(y, 0) >= 0.2 * h - 1


def test_not_found_leaves_everything_as_it_was(make):
    tracker = make(target_not_found_threshold=1e9)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    updates = updates_of(tracker)
    before, stored = tracker.targets.state(0), tracker.memory.num_stored
    filters = tracker.targets.filters.of(0).clone()
    for frame in frames[1:]:
        result = tracker.track(frame)
        assert result.flag == "not_found" and result.box == pytest.approx(SQUARE, abs=1e-4)
        assert 0 < result.score < 1e9
    assert tracker.targets.state(0) is before and tracker.memory.num_stored == stored
    assert torch.equal(tracker.targets.filters.of(0), filters) and updates == []


def test_comes_back_after_not_found(make):
    frames = square_video(MOVING[:4])
    tracker = make()
    tracker.initialize(frames[0], SQUARE)
    assert tracker.track(np.full_like(frames[0], 40)).flag == "not_found"
    assert centre_error(tracker.track(frames[1]), MOVING[1]) < 12


def test_uncertain_moves_the_box_but_teaches_nothing(make):
    tracker = make(distractor_threshold=-1e9, displacement_scale=100.0)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    stored = tracker.memory.num_stored
    updates = updates_of(tracker)
    for frame in frames[1:]:
        result = tracker.track(frame)
        assert result.flag == "uncertain"
    assert centre_error(result, MOVING[-1]) < 12
    assert tracker.memory.num_stored == stored and updates == []


def test_a_hard_negative_teaches_at_its_own_rate_and_at_once(make):
    tracker = make(distractor_threshold=1e9, hard_negative_threshold=-1e9, target_not_found_threshold=-1e9)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    count = tracker.memory.num_stored
    updates = updates_of(tracker)
    assert tracker.track(frames[1]).flag == "hard_negative"
    assert tracker.memory.weights[count].item() == pytest.approx(0.02 / (1 / 0.98 + 0.02))
    for frame in frames[2:]:
        tracker.track(frame)
    assert updates == [True] * 7


def test_the_model_is_updated_on_every_nth_frame(make):
    tracker = make(train_skipping=3, hard_negative_threshold=1e9, distractor_threshold=1e9)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    count = tracker.memory.num_stored
    updates, counts = updates_of(tracker), []
    for frame in frames[1:]:
        assert tracker.track(frame).flag == "normal"
        counts.append(len(updates))
    # Frames 2, 3, 4, ...: of them 4 and 7 follow a multiple of 3 frames.
    assert counts == [0, 0, 1, 1, 1, 2, 2] and updates == [False, False]
    assert tracker.memory.num_stored == count + 7


def test_the_classifier_may_be_left_alone(make):
    tracker = make(update_classifier=False)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    count, filters = tracker.memory.num_stored, tracker.targets.filters.of(0).clone()
    for frame in frames[1:]:
        tracker.track(frame)
    assert tracker.memory.num_stored == count and torch.equal(tracker.targets.filters.of(0), filters)


def test_dropout_samples_come_last_and_share_the_identitys_box(make, monkeypatch):
    tracker, given = make(), []
    learn = tracker.targets._learn_first
    monkeypatch.setattr(tracker.targets, "_learn_first", lambda *all: (given.append(all), learn(*all)))
    tracker.initialize(square_video([SQUARE])[0], SQUARE)
    _, features, boxes, _ = given[0]
    copies, probability = tracker.params.augmentation.dropout
    for copy in range(len(features) - copies, len(features)):
        dropped = (features[copy] == 0).flatten(1).all(1)
        assert torch.allclose(features[copy][~dropped], features[0][~dropped] / (1 - probability))
        assert torch.equal(boxes[copy], boxes[0])
    assert len(tracker.memory.stored[0]) == len(features)
    assert torch.equal(tracker.memory.stored[1], boxes)


def test_a_shifted_sample_shows_the_target_where_its_box_says(make):
    tracker = make(random_shift_factor=None)
    image = square_video([SQUARE])[0]
    tracker.initialize(image, SQUARE)
    samples, boxes = tracker.targets._first_frame_samples(image, tracker.targets._targets[0])
    for sample, box in zip(samples[:6], boxes):
        red = (sample[0] > 130).nonzero().float()
        centre = (box[:2] + (box[2:] - 1) / 2).flip(0)
        torch.testing.assert_close(red.mean(0), centre, atol=2, rtol=0)


def test_box_refinement_without_a_fair_box_keeps_size_and_position(make):
    frames = square_video(MOVING)
    dropped = make(use_iou_net=True, maximal_aspect_ratio=1e-3)
    dropped.initialize(frames[0], SQUARE)
    still = make(use_iou_net=True, box_refinement_iter=0, num_init_random_boxes=0)
    still.initialize(frames[0], SQUARE)
    half = 0.5 * float(still.targets._crop({0: frames[1]})[1].frame.scale[0])
    kept, refined = dropped.track(frames[1]), still.track(frames[1])
    assert kept.box[2:] == (24, 24)
    assert centre_error(kept, MOVING[1]) < 12
    # A refined box comes back half a sample pixel further down and right, as in the reference.
    assert refined.box == pytest.approx((kept.box[0] + half, kept.box[1] + half, 24, 24), abs=0.05)


def test_box_refinement_does_not_shrink_a_side_below_a_sample_pixel(make, monkeypatch):
    tracker = make(
        use_iou_net=True, box_refinement_space="absolute", box_refinement_iter=1, box_refinement_step_length=10.0
    )

    def shrink(modulation, layers, boxes, **options):
        return gradient_ascent(lambda points: -points[..., 2:].sum(-1), boxes, **options)

    monkeypatch.setattr(tracker.targets._backend.refiner, "refine", shrink)
    frames = square_video(MOVING)
    tracker.initialize(frames[0], SQUARE)
    frame = tracker.targets._crop({0: frames[1]})[1].frame
    assert tracker.track(frames[1]).box[2:] == pytest.approx((frame.scale.item(), frame.scale.item()))


def test_the_same_seed_gives_the_same_run_and_leaves_torchs_generator_alone(make):
    frames = square_video(MOVING)
    state = torch.get_rng_state()
    first = run(make(use_iou_net=True, seed=3), frames)
    second = run(make(use_iou_net=True, seed=3), frames)
    assert [result.box for result in first] == [result.box for result in second]
    assert torch.equal(torch.get_rng_state(), state)
    other = run(make(use_iou_net=True, seed=4), frames)
    assert [result.box for result in first] != [result.box for result in other]


def test_without_a_seed_torchs_default_generator_is_drawn_from(make):
    frames = square_video(MOVING)
    boxes = []
    for _ in range(2):
        torch.manual_seed(11)
        boxes.append([result.box for result in run(make(use_iou_net=True, seed=None), frames)])
    state = torch.get_rng_state()
    run(make(use_iou_net=True, seed=None), frames)
    assert boxes[0] == boxes[1] and not torch.equal(torch.get_rng_state(), state)


def test_a_tracker_may_start_again(make):
    tracker, frames = make(use_iou_net=True), square_video(MOVING)
    first = [result.box for result in run(tracker, frames)]
    assert [result.box for result in run(tracker, frames)] == first


def test_tracking_leaves_no_gradients_behind(make):
    tracker = make(use_iou_net=True)
    run(tracker, square_video(MOVING[:3]))
    assert all(parameter.grad is None for parameter in tracker.targets.net.parameters())
    assert not tracker.targets.filters.of(0).requires_grad and not tracker.memory.stored[0].requires_grad


def test_read_only_and_reversed_images(make):
    frames = square_video(MOVING[:3])
    expected = [result.box for result in run(make(), frames)]
    reversed_frames = [np.ascontiguousarray(frame[..., ::-1])[..., ::-1] for frame in frames]
    for frame in frames:
        frame.setflags(write=False)
    assert [result.box for result in run(make(), frames)] == expected
    assert [result.box for result in run(make(), reversed_frames)] == expected


def test_half_precision_features_give_almost_the_same_run(make, monkeypatch):
    monkeypatch.setattr(backends, "has_bf16", lambda: True)
    frames = square_video(MOVING)
    full, half = run(make(use_iou_net=True), frames), run(make(use_iou_net=True, precision="bf16"), frames)
    assert np.allclose([one.box for one in full], [one.box for one in half], atol=0.1)
    scores, half_scores = np.array([one.score for one in full]), np.array([one.score for one in half])
    assert 0 < np.abs(scores - half_scores).max() < 0.02


def test_track_before_initialize(make):
    with pytest.raises(RuntimeError, match="initialize"):
        make().track(square_video([SQUARE])[0])


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (float("nan"), 0, 5, 5), (500, 500, 10, 10), (1, 2, 3)])
def test_bad_first_boxes(make, box):
    with pytest.raises(ValueError, match="box"):
        make().initialize(square_video([SQUARE])[0], box)


@pytest.mark.parametrize("bad", [None, np.full((120, 160, 3), 9, np.float32)])
def test_bad_images(make, bad):
    tracker = make()
    with pytest.raises(ValueError, match="uint8 RGB"):
        tracker.initialize(bad, SQUARE)
    tracker.initialize(square_video([SQUARE])[0], SQUARE)
    with pytest.raises(ValueError, match="uint8 RGB"):
        tracker.track(bad)


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="training mode"):
        DiMP(DiMPParameters(device="cpu"), tiny_dimpnet().train())
    with pytest.raises(ValueError, match="training mode"):
        OnlineTracker(ATOMTargets(ATOMParameters(device="cpu"), tiny_atomnet().train()))


def test_tiny_and_huge_targets(make):
    image = square_video([SQUARE])[0]
    for box in ((80, 60, 1, 1), (0, 0, 160, 120), (-20, -20, 60, 40), (10, 50, 140, 2)):
        tracker = make(use_iou_net=True, target_not_found_threshold=-1e9)
        results = run(tracker, [image] * 3, box)
        assert all(np.isfinite(result.box).all() for result in results)


def test_a_device_that_is_not_there(make, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device"):
        make(device="cuda")
    with pytest.raises(UserError, match="'gpu' is no device"):
        make(device="gpu")
    assert make(device="auto").targets.device.type == "cpu"
