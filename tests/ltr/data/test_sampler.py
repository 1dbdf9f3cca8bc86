"""Sampling: which frames, in which order, and that samples depend on nothing but seed, epoch and index."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.processing import EmptyCropError
from ltr.data.sampler import SampleFrames, TrackingSampler, read_hard_samples
from ltr.dataset.base import SequenceInfo
from ltr.errors import ImageError, SampleError, UserError


class Numbers:
    """Sequences whose frame t is an image of one pixel with the value t."""

    def __init__(self, visible, is_video=True, name="numbers", sequences=3, fault=None):
        self.visible = np.array(visible, dtype=bool)
        self.is_video = is_video
        self.name = name
        self.sequences = sequences
        self.fault = fault

    def __len__(self):
        return self.sequences

    def sequence_name(self, index):
        return f"n{index}"

    def sequence_info(self, index):
        if self.fault == "annotation":
            raise ValueError("groundtruth.txt, line 7: wanted four numbers")
        count = len(self.visible)
        boxes = np.zeros((count, 4), np.float32)
        boxes[:, 0] = np.arange(count)
        return SequenceInfo(boxes, np.ones(count, dtype=bool), self.visible)

    def frames(self, index, frame_ids):
        if self.fault == "frame":
            raise ImageError("img/0003.jpg is cut short")
        return [np.full((1, 1, 3), frame, np.uint8) for frame in frame_ids]


def numbers_only(train, test, rng):
    """In place of cropping: the frame numbers, which must agree between frames and boxes."""
    for frames, boxes in (train, test):
        assert [int(frame[0, 0, 0]) for frame in frames] == boxes[:, 0].tolist()
    return {"train": train[1][:, 0], "test": test[1][:, 0], "draw": rng.random()}


def make(dataset, **changes):
    arguments = {"samples_per_epoch": 50, "max_gap": 10, "num_train_frames": 3, "num_test_frames": 2, "seed": 1}
    datasets = dataset if isinstance(dataset, list) else [(dataset, 1.0)]
    return TrackingSampler(datasets, numbers_only, **{**arguments, **changes})


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=2, max_size=60).filter(lambda seen: sum(seen) >= 2),
    st.integers(1, 30),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 1000),
)
def test_causal_frames_are_visible_and_in_order(visible, gap, train, test, index):
    sampler = make(Numbers(visible), max_gap=gap, num_train_frames=train, num_test_frames=test)
    sample = sampler[(0, index)]
    assert (len(sample["train"]), len(sample["test"])) == (train, test)
    chosen = np.concatenate((sample["train"], sample["test"])).astype(int)
    assert np.array(visible)[chosen].all()
    assert sample["train"].max() < sample["test"].min()
    assert sample["train"][0] == sample["train"].max(), "the first train frame is the one next to the test frames"


def test_causal_frames_keep_within_the_gap_and_differ_where_they_can():
    sampler = make(Numbers([True] * 100), max_gap=8, samples_per_epoch=200)
    samples = [sampler[(0, index)] for index in range(200)]
    for sample in samples:
        base = sample["train"].max()
        assert base - sample["train"].min() <= 8 and sample["test"].max() - base <= 8
    assert all(len(set(sample["train"])) == 3 and len(set(sample["test"])) == 2 for sample in samples)
    assert {int(sample["train"].max()) for sample in samples} <= set(range(2, 98))
    assert {sample["test"].max() - sample["train"].max() for sample in samples} == set(range(2, 9))


def test_the_gap_grows_until_there_is_a_visible_frame():
    seen = [False] * 80
    seen[3] = seen[70] = True
    for mode in ("causal", "interval"):
        sample = make(Numbers(seen), max_gap=5, mode=mode, num_train_frames=1, num_test_frames=2)[(0, 0)]
        assert {*sample["train"], *sample["test"]} == {3, 70}


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=6, max_size=60).filter(lambda seen: sum(seen) >= 6),
    st.integers(1, 30),
    st.sampled_from(["causal", "interval"]),
    st.integers(0, 1000),
)
def test_no_frame_repeats_where_there_are_enough(visible, gap, mode, index):
    """The gap grows rather than that a frame is shown twice."""
    sample = make(Numbers(visible), max_gap=gap, mode=mode, num_test_frames=3)[(0, index)]
    assert len({*sample["train"], *sample["test"]}) == 6


def test_the_gap_grows_by_fives_and_no_further_than_it_must():
    seen = np.zeros(300, dtype=bool)
    seen[[100, 108, 111, 114, 118, 119, 130]] = True
    sampler = make(Numbers(seen), max_gap=4, num_train_frames=1, num_test_frames=1)
    reached = {}
    for index in range(600):
        sample = sampler[(0, index)]
        reached.setdefault(int(sample["train"][0]), set()).add(int(sample["test"][0]))
    assert reached == {100: {108}, 108: {111}, 111: {114}, 114: {118}, 118: {119}, 119: {130}}


def test_every_frame_of_a_short_video_is_used():
    drawn = [make(Numbers([True] * 7), num_test_frames=3, max_gap=30)[(0, index)] for index in range(200)]
    assert {int(sample["train"].max()) for sample in drawn} == {2, 3}
    assert {int(frame) for sample in drawn for frame in sample["train"]} == {0, 1, 2, 3}


def test_interval_frames_lie_on_both_sides():
    sampler = make(Numbers([True] * 100), max_gap=8, mode="interval", num_train_frames=1)
    away = np.concatenate([s["test"] - s["train"][0] for s in (sampler[(0, index)] for index in range(300))])
    assert set(away) == {*range(-8, 0), *range(1, 9)}


def test_an_image_is_repeated():
    sample = make(Numbers([True], is_video=False))[(0, 5)]
    assert sample["train"].tolist() == [0, 0, 0] and sample["test"].tolist() == [0, 0]


def test_a_sample_depends_on_seed_epoch_and_index_only():
    sampler, again = make(Numbers([True] * 200)), make(Numbers([True] * 200))
    forwards = [str(sampler[(2, index)]) for index in range(20)]
    assert [str(again[(2, index)]) for index in reversed(range(20))] == forwards[::-1]
    assert [str(copy.deepcopy(again)[(2, index)]) for index in range(20)] == forwards
    assert [str(sampler[(3, index)]) for index in range(20)] != forwards
    assert [str(make(Numbers([True] * 200), seed=2)[(2, index)]) for index in range(20)] != forwards
    assert len(set(forwards)) == 20


def test_data_sets_are_drawn_by_weight():
    seen = [True] * 5
    datasets = [
        (Numbers(seen, name="often"), 3.0),
        (Numbers(seen, name="seldom"), 1.0),
        (Numbers(seen, name="never"), 0.0),
        (Numbers(seen, name="empty", sequences=0), 100.0),
    ]
    sampler = make(datasets)
    names = [sampler[(0, index)]["source"].split(":")[0] for index in range(2000)]
    assert set(names) == {"often", "seldom"}
    assert names.count("often") / 2000 == pytest.approx(0.75, abs=0.03)
    assert {sampler[(0, index)]["source"] for index in range(200)} == {
        f"{name}:n{k}" for name in ("often", "seldom") for k in range(3)
    }


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("frame", r"numbers:n\d: img/0003.jpg is cut short"),
        ("annotation", r"numbers:n\d: groundtruth.txt, line 7: wanted four numbers"),
    ],
)
def test_a_sequence_that_cannot_be_read_is_named(fault, message):
    with pytest.raises(SampleError, match=message):
        make(Numbers([True] * 10, fault=fault))[(0, 0)]


def test_a_video_without_two_visible_frames_is_no_sample():
    with pytest.raises(SampleError, match="numbers: none of 200 drawn sequences has 2 visible frames"):
        make(Numbers([True] + [False] * 20))[(0, 0)]


def test_a_video_that_is_too_short_is_no_sample():
    """Counted as the recipe says: all frames, and those that show the target. An image is never too short."""
    long, short = [True] * 5 + [False] * 15, [True] * 5 + [False] * 14
    make(Numbers(long), least_frames=20, least_visible=5)[(0, 0)]
    for visible, least in ((short, (20, 5)), (long, (20, 6))):
        with pytest.raises(SampleError, match=f"has {least[1]} visible frames in 20 frames or more"):
            make(Numbers(visible), least_frames=least[0], least_visible=least[1])[(0, 0)]
    make(Numbers([True], is_video=False), least_frames=20, least_visible=5)[(0, 0)]


def test_an_empty_crop_draws_the_whole_sample_anew():
    drawn = []

    def empty_in_odd_frames(train, test, rng):
        drawn.append((train[1][0, 0], test[1][0, 0]))
        if test[1][0, 0] % 2:
            raise EmptyCropError("no crop shows the image")
        return numbers_only(train, test, rng)

    sampler = make(Numbers([True] * 40), num_train_frames=1, num_test_frames=1)
    sampler.processing = empty_in_odd_frames
    for index in range(20):
        drawn.clear()
        sample = sampler[(0, index)]
        assert [int(test) % 2 for _, test in drawn] == [1] * (len(drawn) - 1) + [0]
        assert (sample["train"][0], sample["test"][0]) == drawn[-1]
    sampler = make(Numbers([False, True, False, True]), num_train_frames=1, num_test_frames=1)
    sampler.processing = empty_in_odd_frames
    with pytest.raises(SampleError, match="none of 200 drawn samples has crops that show the image; the last: no crop"):
        sampler[(0, 0)]


def test_small_objects_of_still_images_are_not_drawn():
    """Both sides must exceed the least side; objects of videos may be small."""

    class Sides(Numbers):
        def sequence_info(self, index):
            info = super().sequence_info(index)
            info.boxes[:, 2:] = [(50, 200), (51, 51), (200, 50)]
            return info

    sample = make(Sides([True] * 3, is_video=False), least_still_side=50)[(0, 0)]
    assert {*sample["train"], *sample["test"]} == {1}
    make(Sides([True] * 3), least_still_side=500)[(0, 0)]
    with pytest.raises(SampleError, match="numbers: none of 200 drawn sequences has a visible frame larger than 60 px"):
        make(Sides([True] * 3, is_video=False), least_still_side=60)[(0, 0)]


def test_what_cannot_be_sampled_is_refused_at_once():
    with pytest.raises(ValueError, match="'causal' or 'interval'"):
        make(Numbers([True] * 5), mode="casual")
    for datasets in ([], [(Numbers([True] * 5), 0.0)], [(Numbers([True] * 5, sequences=0), 1.0)]):
        with pytest.raises(ValueError, match="no training data set"):
            make(datasets)


HARD = SampleFrames("numbers:n1", 0, 1, (5, 4, 2), (7, 9))


def test_hard_samples_are_drawn_as_often_as_they_should_be_with_new_crops():
    sampler = make(Numbers([True] * 100), hard=[HARD], hard_share=0.3)
    samples = [sampler[(0, index)] for index in range(400)]
    hard = [sample for sample in samples if sample["train"].tolist() == [5, 4, 2]]
    assert all(sample["test"].tolist() == [7, 9] and sample["source"] == HARD.source for sample in hard)
    assert 90 < len(hard) < 150
    assert len({sample["draw"] for sample in hard}) == len(hard), "what is drawn for the crops is new each time"


def test_without_hard_samples_nothing_else_is_drawn():
    plain, none = make(Numbers([True] * 100)), make(Numbers([True] * 100), hard_share=0.9)
    assert [plain[(0, index)]["draw"] for index in range(5)] == [none[(0, index)]["draw"] for index in range(5)]


def test_the_frames_of_a_sample_are_those_that_it_shows():
    sampler = make([(Numbers([True] * 40, name="a"), 1.0), (Numbers([True] * 60, name="b"), 1.0)])
    for index in range(10):
        sample, frames = sampler[(3, index)], sampler.frames_of((3, index))
        assert (list(frames.train), list(frames.test)) == (sample["train"].tolist(), sample["test"].tolist())
        assert frames.source == sample["source"] and frames.source[0] == "ab"[frames.dataset]


@pytest.mark.parametrize(
    "changed",
    [{"source": "numbers:other"}, {"dataset": 1}, {"sequence": 3}, {"train": (5,)}, {"test": (7, 8, 9)}],
)
def test_hard_samples_of_other_data_are_refused(changed):
    with pytest.raises(UserError, match="not from this training's data"):
        make(Numbers([True] * 100), hard=[HARD, replace(HARD, **changed)], hard_share=0.5)


def test_a_hard_sample_beyond_its_sequence_is_named():
    sampler = make(Numbers([True] * 8), hard=[HARD], hard_share=1.0)
    with pytest.raises(SampleError, match="numbers:n1: it has 8 frames"):
        sampler[(0, 0)]


def test_hard_samples_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "hard.json"
    path.write_text(json.dumps({"samples": [asdict(HARD) | {"loss": 2.0}]}))
    assert read_hard_samples(path) == [HARD]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"samples": 3},
        {"samples": [7]},
        {"samples": [asdict(HARD) | {"train": []}]},
        {"samples": [asdict(HARD) | {"train": "54"}]},
        {"samples": [asdict(HARD) | {"test": [7, -1]}]},
        {"samples": [asdict(HARD) | {"sequence": 1.5}]},
        {"samples": [{name: value for name, value in asdict(HARD).items() if name != "test"}]},
    ],
)
def test_other_files_are_no_hard_samples(tmp_path, content):
    path = tmp_path / "hard.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not a file of hard samples: write one with python -m"):
        read_hard_samples(path)
