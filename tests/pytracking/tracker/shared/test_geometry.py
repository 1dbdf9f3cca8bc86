from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.tracker.shared.geometry import SampleFrame, TargetState


def state_of(position, size, scale: float) -> TargetState:
    return TargetState(*(np.array([each], np.float32) for each in (position, size, scale)))


def frame_of(position, scale: float, size: int) -> SampleFrame:
    return SampleFrame(np.array([position], np.float32), np.array([scale], np.float32), size)


def test_state_of_a_box_and_back():
    state = TargetState.from_box((121, 91, 44, 60), 2.0, 100)
    assert state.position.tolist() == [[120.5, 142.5]] and state.size.tolist() == [[60, 44]]
    assert state.scale.item() == pytest.approx((88 * 120) ** 0.5 / 100)
    assert state.boxes().tolist() == [[121, 91, 44, 60]]


def test_states_as_rows_and_back():
    rows = np.arange(10, dtype=np.float32).reshape(2, 5)
    state = TargetState.from_rows(rows)
    assert state.position.tolist() == [[0, 1], [5, 6]] and state.scale.tolist() == [4, 9]
    np.testing.assert_array_equal(state.rows(), rows)
    mixed = state.where(np.array([True, False]), TargetState.from_rows(-rows))
    assert mixed.size.tolist() == [[2, 3], [-7, -8]]


def test_frame_of_reported_coordinates():
    frame = SampleFrame.from_coordinates(np.array([[10, 20, 110.5, 221]], np.float32), 100)
    assert frame.position.tolist() == [[59.75, 120.0]]
    assert frame.scale.item() == pytest.approx((1.005 * 2.01) ** 0.5, rel=1e-6)


def test_box_in_the_sample_by_hand():
    frame, state = frame_of((100, 200), 2, 101), state_of((110, 180), (40, 20), 2)
    # Centre (50 - 10, 50 + 5), size (10, 20), corner = centre - (size - 1) / 2.
    assert frame.box_of(state).tolist() == [[35.5, 45.5, 10, 20]]


@given(
    x=st.floats(-50, 300), y=st.floats(-50, 300), w=st.floats(2, 200), h=st.floats(2, 200), sample=st.integers(30, 500)
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_way_back_is_half_a_sample_pixel_off_as_in_the_reference(x, y, w, h, sample):
    state = TargetState.from_box((x, y, w, h), 5.0, sample)
    scale = state.scale.item()
    frame = frame_of((120, 90), scale, 256)
    back = frame.state_of(frame.box_of(state), state.size / state.scale[:, None])
    np.testing.assert_allclose(back.size, state.size, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(back.position, state.position + scale / 2, atol=1e-3 * scale + 1e-3, rtol=0)
    assert back.scale.item() == pytest.approx(scale, rel=1e-4)


@given(y=st.floats(-1e4, 1e4), x=st.floats(-1e4, 1e4), h=st.floats(1, 400), w=st.floats(1, 400))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_fifth_of_the_target_stays_inside(y, x, h, w):
    moved = state_of((y, x), (h, w), 1).moved_inside(np.array([[240, 320]], np.float32))
    for centre, side, length in zip(moved.position[0].tolist(), (h, w), (240, 320)):
        visible = min(centre + side / 2, length) - max(centre - side / 2, 0)
        assert visible >= min(0.2 * side, length) - 1e-2


def test_a_target_inside_is_not_moved():
    state = TargetState.from_box((10, 10, 20, 20), 5.0, 100)
    assert state.moved_inside(np.array([[240, 320]], np.float32)).position.tolist() == [[19.5, 19.5]]


def test_tensors_of_a_device_give_the_same_bits():
    """To the last: crops truncate to whole pixels."""
    draw = np.random.default_rng(0)
    state, base = (draw.uniform(5, 300, (4, count)).astype(np.float32) for count in (5, 2))
    frame, size = (draw.uniform(5, 300, (4, count)).astype(np.float32) for count in (3, 2))

    def found(make):
        target = TargetState.from_rows(make(state))
        place = SampleFrame(make(frame[:, :2]), make(frame[:, 2]), 256)
        back = place.state_of(place.box_of(target), make(base))
        return [back.rows(), target.boxes(), target.moved_inside(make(size)).rows()]

    for host, device in zip(found(np.copy), found(torch.from_numpy)):
        np.testing.assert_array_equal(host, device)
