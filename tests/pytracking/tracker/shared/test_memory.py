from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import load_golden
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.tracker.shared.memory import SampleMemory


def make(first_frame: int = 3, capacity: int = 6, rate: float = 0.1, minimum: float = 0.25) -> SampleMemory:
    features = torch.full((first_frame, 2, 1, 1), -1.0)
    return SampleMemory(features, torch.zeros(first_frame, 4), capacity, rate, minimum)


def insert(memory: SampleMemory, value: float, rate: float | None = None) -> None:
    memory.insert(torch.full((1, 2, 1, 1), value), torch.full((4,), value), rate)


def test_starts_with_equal_weights():
    features, boxes, weights = make().stored
    assert features.shape == (3, 2, 1, 1) and boxes.shape == (3, 4)
    assert weights.tolist() == pytest.approx([1 / 3] * 3)


def test_weights_of_the_first_two_new_samples_by_hand():
    memory = make(rate=0.1)
    insert(memory, 1)
    # All are divided by 0.9, the new one is 0.1; then normalised.
    total = 1 / 0.9 + 0.1
    assert memory.weights[:4].tolist() == pytest.approx([1 / 2.7 / total] * 3 + [0.1 / total])
    insert(memory, 2, rate=0.2)
    second = 0.1 / total / 0.8
    assert memory.weights[:5].tolist() == pytest.approx(
        [1 / 2.7 / total / (1 + second)] * 3 + [0.1 / total / (1 + second), second / (1 + second)]
    )


def test_first_frame_samples_keep_their_part_by_hand():
    memory = make(rate=0.5)
    insert(memory, 1)
    insert(memory, 2)
    # 4/5 and 1/5 after the first new sample; a later one weighs twice the previous new one: 4, 1, 2 of 7; 4, 1, 2, 4 of
    # 11; after the fourth 4 of 19, too little for the first frame: the others, 15/19, are divided by 1/4 + 15/19.
    insert(memory, 3)
    assert memory.weights[:3].sum().item() == pytest.approx(4 / 11)
    memory = make(rate=0.5, capacity=8)
    for value in range(4):
        insert(memory, value)
    others = [part / 19 / (0.25 + 15 / 19) for part in (1, 2, 4, 8)]
    assert memory.weights.tolist() == pytest.approx([0.25 / 3] * 3 + others + [0])


def test_a_full_memory_replaces_the_lightest_new_sample_and_goes_on_counting():
    memory = make(capacity=5, rate=0.1)
    for value in (1, 2, 3):
        insert(memory, value)
    features, boxes, weights = memory.stored
    assert memory.num_stored == 6
    assert features[:, 0, 0, 0].tolist() == [-1, -1, -1, 3, 2]
    assert boxes[:, 2].tolist() == [0, 0, 0, 3, 2]
    assert weights.shape == (5,)


@given(rates=st.lists(st.floats(0.005, 0.3), max_size=25), first_frame=st.integers(1, 5))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_first_frame_samples_stay_whatever_comes(rates, first_frame):
    memory = make(first_frame=first_frame, capacity=8)
    for value, rate in enumerate(rates):
        insert(memory, value, rate)
    features, _, weights = memory.stored
    assert (features[:first_frame] == -1).all()
    assert len(weights) == min(first_frame + len(rates), 8)
    assert weights[:first_frame].sum().item() >= 0.25 - 1e-5
    # Not exactly 1 in a step that raises the first frame's part: the reference does not normalise again.
    assert 1 - 1e-5 <= weights.sum().item() < 1.1
    assert (weights > 0).all()


def test_weights_after_a_long_run_equal_the_reference():
    golden = load_golden("online_long")
    memory = make(first_frame=13, capacity=50, rate=0.01)
    for value in range(int(golden["num_stored"][-1]) - 13):
        insert(memory, value)
    assert memory.num_stored == golden["num_stored"][-1]
    np.testing.assert_allclose(memory.weights.numpy(), golden["sample_weights"], rtol=1e-5)


def test_no_place_for_a_new_sample_is_an_error():
    with pytest.raises(ValueError, match="sample_memory_size is 3"):
        make(first_frame=3, capacity=3)
