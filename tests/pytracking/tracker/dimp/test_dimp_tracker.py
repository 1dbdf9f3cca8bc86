from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_tracking import square_video, tiny_dimpnet

from pytracking.features.augmentation import NO_AUGMENTATION, Augmentation
from pytracking.tracker.dimp import DiMP, DiMPParameters

SQUARE = (60, 40, 24, 24)
BASE = DiMPParameters(
    device="cpu",
    image_sample_size=128,
    search_area_scale=5.0,
    border_mode="replicate",
    use_iou_net=False,
    target_not_found_threshold=0.1,
)
MOVING = [(60 + 3 * step, 40 + step, 24, 24) for step in range(8)]


def make(filter_size: int = 4, **changes) -> DiMP:
    return DiMP(dataclasses.replace(BASE, **changes), tiny_dimpnet(filter_size))


def run(tracker: DiMP, frames, box=SQUARE):
    return [tracker.initialize(frames[0], box)] + [tracker.track(frame) for frame in frames[1:]]


def centre_error(result, box) -> float:
    x, y, w, h = result.box
    return float(np.hypot(x + w / 2 - box[0] - box[2] / 2, y + h / 2 - box[1] - box[3] / 2))


def optimiser_calls(tracker: DiMP) -> list[int]:
    """Iterations asked of the filter optimiser, filled while the tracker runs."""
    calls: list[int] = []
    tracker.targets.net.classifier.filter_optimizer.register_forward_hook(
        lambda module, args, kwargs, output: calls.append(kwargs["num_iter"]), with_kwargs=True
    )
    return calls


@pytest.mark.parametrize("filter_size", [1, 3, 5])
def test_follows_with_an_odd_filter(filter_size):
    for result, box in zip(run(make(filter_size), square_video(MOVING)), MOVING):
        assert centre_error(result, box) < 12, (result, box)


@pytest.mark.parametrize(("filter_size", "offset"), [(4, 0), (5, 8)])
def test_feature_and_filter_of_different_parity_move_the_sample_by_half_a_cell(filter_size, offset):
    tracker = make(filter_size)
    frames = square_video([SQUARE])
    tracker.initialize(frames[0], SQUARE)
    state, frame = tracker.targets.state(0), tracker.targets._crop({0: frames[0]})[1].frame
    # The position is truncated to whole pixels, and the crop reports half a pixel more.
    np.testing.assert_allclose(frame.position, np.trunc(state.position + offset * state.scale) + 0.25, atol=0.5)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 15),
        ({"augmentation": Augmentation(dropout=(0, 0.0))}, 13),
        ({"augmentation": NO_AUGMENTATION}, 1),
        ({"use_augmentation": False}, 1),
    ],
)
def test_first_frame_samples(changes, count):
    tracker = make(**changes)
    tracker.initialize(square_video([SQUARE])[0], SQUARE)
    features, boxes, weights = tracker.memory.stored
    assert tracker.memory.num_stored == count == len(features) == len(boxes)
    assert weights.tolist() == pytest.approx([1 / count] * count)


def test_iterations_of_updates_and_of_hard_negatives():
    frames = square_video(MOVING)
    for changes, expected in (
        ({"hard_negative_threshold": 1e9}, [2, 2]),
        ({"hard_negative_threshold": -1e9, "target_not_found_threshold": -1e9}, [1] * 7),
        ({"hard_negative_threshold": 1e9, "net_opt_update_iter": 0}, []),
    ):
        tracker = make(train_skipping=3, distractor_threshold=1e9, **changes)
        tracker.initialize(frames[0], SQUARE)
        calls = optimiser_calls(tracker)
        for frame in frames[1:]:
            tracker.track(frame)
        assert calls == expected
