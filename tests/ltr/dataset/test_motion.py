"""Smooth random motion and the placements made of it."""

from __future__ import annotations

import numpy as np
import pytest

from ltr.dataset.compositing import affine, smooth_waves


def test_waves_stay_within_their_amplitude_and_are_smooth():
    for seed in range(20):
        waves = smooth_waves(np.random.default_rng(seed), 100, 2, 0.3, 0.05)
        assert waves.shape == (100, 2)
        assert abs(waves).max() <= 0.3
        assert abs(np.diff(waves, axis=0)).max() <= 0.3 * 2 * np.pi * 0.05, "no step beyond the highest frequency's"
        assert abs(np.diff(waves, n=2, axis=0)).max() <= 0.3 * (2 * np.pi * 0.05) ** 2
    assert waves.std() > 0


def test_waves_follow_their_generator():
    one, two, other = (smooth_waves(np.random.default_rng(seed), 30, 1, 1.0, 0.05) for seed in (3, 3, 4))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_an_affine_placement_puts_the_middle_at_the_centre():
    centre = np.array(((50.0, 40.0), (10.0, -5.0)))
    zoom = np.array(((2.0, 3.0), (0.5, 0.5)))
    placement = affine((8, 6), centre, zoom, np.array((0.0, 1.0)), np.array((0.2, 0.0)))
    assert placement.shape == (2, 2, 3)
    middles = placement[:, :, :2] @ np.array((4.0, 3.0)) + placement[:, :, 2]
    assert middles == pytest.approx(centre)
    # Without a turn: x = 2 (u - 4) + 0.2 x 3 (v - 3), y = 3 (v - 3).
    corner = placement[0, :, :2] @ np.zeros(2) + placement[0, :, 2]
    assert corner == pytest.approx((50 - 8 - 0.2 * 9, 40 - 9))


def test_a_turn_keeps_lengths_and_goes_clockwise_on_the_screen():
    placement = affine((4, 4), np.zeros((1, 2)), np.ones((1, 2)), np.array([np.pi / 2]), np.zeros(1))
    assert placement[0, :, :2] @ np.array((1.0, 0.0)) == pytest.approx((0.0, 1.0))
    assert np.linalg.det(placement[0, :, :2]) == pytest.approx(1.0)
