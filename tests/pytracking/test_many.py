"""Many targets at once give what each gives alone, as they come and go, whatever happens to one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_tracking import square_video, tiny_atomnet, tiny_dimpnet

from pytracking import BatchTracker, MultiTracker, load_tracker
from pytracking.tracker import atom, dimp
from pytracking.tracker.base import TargetErrors

SMALL = {"device": "cpu", "image_sample_size": 128, "search_area_scale": 5.0, "target_not_found_threshold": 0.1}
PATHS = [
    [(60 + 3 * step, 40 + step, 24, 24) for step in range(12)],
    [(20 + 2 * step, 60 - step, 30, 20) for step in range(12)],
    [(90 - 3 * step, 20 + 2 * step, 18, 28) for step in range(12)],
]
SIZES = [(120, 160), (150, 140), (120, 200)]
VIDEOS = [square_video(path, size) for path, size in zip(PATHS, SIZES)]


@pytest.fixture(params=["dimp", "atom", "kcf"])
def names(request, monkeypatch) -> tuple[str, str, dict]:
    """Parameter, tracker and overrides, the networks being tiny ones."""
    if request.param == "kcf":
        return "kcf", "opencv", {}
    package, network = (dimp, tiny_dimpnet) if request.param == "dimp" else (atom, tiny_atomnet)
    monkeypatch.setattr(package, "checkpoint_of", lambda params: Path(__file__))
    monkeypatch.setattr(package, "load_tracking_network", lambda path, kind: network())
    changes = {"train_skipping": 3, "sample_memory_size": 34, "distractor_threshold": 1.0}
    return ("dimp18" if request.param == "dimp" else "default"), request.param, {**SMALL, **changes}


def alone(names, frames, box) -> list:
    parameter, tracker, overrides = names
    single = load_tracker(parameter, tracker, **overrides)
    single.initialize(frames[0], box)
    return [single.track(frame) for frame in frames[1:]]


def assert_equal(results, expected) -> None:
    assert [result.flag for result in results] == [result.flag for result in expected]
    np.testing.assert_allclose([result.box for result in results], [result.box for result in expected], atol=0.01)
    np.testing.assert_allclose([result.score for result in results], [result.score for result in expected], atol=1e-4)


def test_targets_that_come_and_go_are_tracked_as_each_alone(names):
    parameter, tracker, overrides = names
    batch = BatchTracker(parameter, tracker, **overrides)
    # One starts, two more come at different times, the first goes, and one comes in its place; one waits for a frame.
    visits = {"a": (0, 0, 6), "b": (1, 2, 9), "c": (2, 4, 12), "d": (0, 6, 12)}
    ids, got, waited = {}, {name: [] for name in visits}, 0
    for frame in range(12):
        for name, (_, _, last) in visits.items():
            if frame == last:
                batch.remove(ids.pop(name))
        images = {
            ids[name]: VIDEOS[video][frame - first - (name == "c" and waited)]
            for name, (video, first, last) in visits.items()
            if name in ids and not (name == "c" and frame == 8)
        }
        waited += frame == 8
        results = batch.track(images)
        for name, target in ids.items():
            if target in results:
                got[name].append(results[target])
        for name, (video, first, _) in visits.items():
            if frame == first:
                ids[name], result = batch.start(VIDEOS[video][0], PATHS[video][0])
                assert (result.box, result.flag) == (PATHS[video][0], "init")
    assert len(set(ids.values())) == 2 and batch.targets == list(ids.values())
    for name, (video, _, _) in visits.items():
        frames = VIDEOS[video][: 1 + len(got[name])]
        assert len(frames) > 5
        assert_equal(got[name], alone(names, frames, PATHS[video][0]))


def test_targets_in_one_image(names):
    parameter, tracker, overrides = names
    frames = [frame.copy() for frame in VIDEOS[0]]
    for frame, (x, y, w, h) in zip(frames, PATHS[2]):
        frame[y + 60 : y + 60 + h, x + 10 : x + 10 + w] = (60, 200, 90)
    boxes = [PATHS[0][0], (PATHS[2][0][0] + 10, PATHS[2][0][1] + 60, *PATHS[2][0][2:])]
    multi = MultiTracker(parameter, tracker, **overrides)
    ids = [multi.add(frames[0], box) for box in boxes]
    results = [multi.track(frame) for frame in frames[1:]]
    assert all(list(result) == ids == multi.targets for result in results)
    for target, box in zip(ids, boxes):
        assert_equal([result[target] for result in results], alone(names, frames, box))
    multi.remove(ids[0])
    assert list(multi.track(frames[-1])) == ids[1:]


def test_a_bad_image_fails_its_target_only(names):
    parameter, tracker, overrides = names
    batch = BatchTracker(parameter, tracker, **overrides)
    good, bad = batch.add(VIDEOS[0][0], PATHS[0][0]), batch.add(VIDEOS[1][0], PATHS[1][0])
    with pytest.raises(TargetErrors, match=f"target {bad}: image") as caught:
        batch.track({bad: np.zeros((4, 4), np.uint16), good: VIDEOS[0][1]})
    assert list(caught.value.errors) == [bad] and list(caught.value.results) == [good]
    results = [caught.value.results[good]] + [batch.track({good: frame})[good] for frame in VIDEOS[0][2:]]
    assert_equal(results, alone(names, VIDEOS[0], PATHS[0][0]))
    with pytest.raises(TargetErrors):
        batch.track({bad: None})
    assert_equal([batch.track({bad: VIDEOS[1][1]})[bad]], alone(names, VIDEOS[1][:2], PATHS[1][0]))


def test_a_bad_first_box_leaves_the_others(names):
    parameter, tracker, overrides = names
    batch = BatchTracker(parameter, tracker, **overrides)
    first = batch.add(VIDEOS[0][0], PATHS[0][0])
    with pytest.raises(ValueError, match="empty"):
        batch.add(VIDEOS[0][0], (1, 1, 0, 0))
    assert batch.targets == [first]
    assert_equal([batch.track({first: VIDEOS[0][1]})[first]], alone(names, VIDEOS[0][:2], PATHS[0][0]))


def test_unknown_targets_are_named_before_anything_is_tracked(names):
    parameter, tracker, overrides = names
    batch = BatchTracker(parameter, tracker, **overrides)
    first = batch.add(VIDEOS[0][0], PATHS[0][0])
    with pytest.raises(ValueError, match="no target 7; there are: 0"):
        batch.track({first: VIDEOS[0][1], 7: VIDEOS[0][1]})
    with pytest.raises(ValueError, match="no target 7"):
        batch.remove(7)
    assert batch.track({}) == {}


@pytest.mark.parametrize("names", ["dimp", "atom"], indirect=True)
def test_score_maps_that_are_not_finite_fail_their_target_only(names):
    parameter, tracker, overrides = names
    batch = BatchTracker(parameter, tracker, **overrides)
    ids = [batch.add(VIDEOS[number][0], PATHS[number][0]) for number in range(2)]
    score_maps = batch._targets._score_maps

    def broken(slots, features):
        scores = score_maps(slots, features)
        scores[0, 3, 3] = torch.nan
        return scores

    batch._targets._score_maps = broken
    with pytest.raises(TargetErrors, match="not finite") as caught:
        batch.track({target: VIDEOS[target][1] for target in ids})
    assert list(caught.value.errors) == [ids[0]]
    assert_equal([caught.value.results[ids[1]]], alone(names, VIDEOS[1][:2], PATHS[1][0]))
    del batch._targets._score_maps
    assert batch.track({ids[0]: VIDEOS[0][1]})[ids[0]].flag != "init"
