from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.tracker.shared.geometry import SampleFrame, TargetState


def test_state_of_a_box_and_back():
    state = TargetState.from_box((121, 91, 44, 60), 0.9)
    assert state.position.tolist() == [120.5, 142.5] and state.size.tolist() == [60, 44]
    assert state.box() == (121, 91, 44, 60)


def test_frame_of_reported_coordinates():
    frame = SampleFrame.from_coordinates(torch.tensor([[10.0, 20.0, 110.5, 221.0]]), 100)
    assert frame.position.tolist() == [59.75, 120.0]
    assert frame.scale == pytest.approx(np.sqrt(1.005 * 2.01), rel=1e-6)


def test_box_in_the_sample_by_hand():
    frame = SampleFrame(np.array([100, 200], np.float32), np.float32(2), 101)
    state = TargetState(np.array([110, 180], np.float32), np.array([40, 20], np.float32), np.float32(2))
    # Centre (50 - 10, 50 + 5), size (10, 20), corner = centre - (size - 1) / 2.
    assert frame.box_of(state).tolist() == [35.5, 45.5, 10, 20]


@given(x=st.floats(-50, 300), y=st.floats(-50, 300), w=st.floats(2, 200), h=st.floats(2, 200), scale=st.floats(0.2, 5))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_way_back_is_half_a_sample_pixel_off_as_in_the_reference(x, y, w, h, scale):
    state = TargetState.from_box((x, y, w, h), scale)
    frame = SampleFrame(np.array([120, 90], np.float32), np.float32(scale), 256)
    back = frame.state_of(frame.box_of(state), state.size / state.scale)
    np.testing.assert_allclose(back.size, state.size, rtol=1e-4)
    np.testing.assert_allclose(back.position, state.position + scale / 2, atol=1e-3 * scale + 1e-3)
    assert back.scale == pytest.approx(scale, rel=1e-4)


@given(y=st.floats(-1e4, 1e4), x=st.floats(-1e4, 1e4), h=st.floats(1, 400), w=st.floats(1, 400))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_fifth_of_the_target_stays_inside(y, x, h, w):
    state = TargetState(np.array([y, x], np.float32), np.array([h, w], np.float32), np.float32(1))
    moved = state.moved_inside(np.array([240, 320], np.float32))
    for centre, side, length in zip(moved.position.tolist(), (h, w), (240, 320)):
        visible = min(centre + side / 2, length) - max(centre - side / 2, 0)
        assert visible >= min(0.2 * side, length) - 1e-2


def test_a_target_inside_is_not_moved():
    state = TargetState.from_box((10, 10, 20, 20), 1)
    assert state.moved_inside(np.array([240, 320], np.float32)).position.tolist() == [19.5, 19.5]
