"""Paired bootstrap of the difference of two trackers: closed forms, coverage, seeds."""

from __future__ import annotations

import numpy as np
import pytest

from pytracking.analysis.bootstrap import paired_difference


def test_equal_trackers_differ_by_nothing() -> None:
    figures = np.linspace(0, 90, 30)
    found = paired_difference(figures, figures, samples=100)
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert not found.excludes_zero


def test_a_constant_shift_is_certain() -> None:
    found = paired_difference(np.linspace(2, 92, 30), np.linspace(0, 90, 30), samples=100)
    assert found.low == pytest.approx(2)
    assert found.high == pytest.approx(2)
    assert found.excludes_zero
    assert paired_difference(np.linspace(0, 90, 30), np.linspace(2, 92, 30), samples=100).excludes_zero


def test_the_interval_is_near_the_normal_one() -> None:
    rng = np.random.default_rng(5)
    difference = rng.normal(1.0, 4.0, 400)
    found = paired_difference(50 + difference, np.full(400, 50.0))
    half = 1.96 * difference.std() / np.sqrt(400)
    assert found.mean == pytest.approx(difference.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.05)
    narrow = paired_difference(50 + difference, np.full(400, 50.0), level=0.5)
    assert narrow.high - narrow.low < 0.5 * (found.high - found.low)


def test_the_true_difference_is_mostly_inside() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        found = paired_difference(rng.normal(1, 3, 60), np.zeros(60), samples=400)
        inside += found.low <= 1 <= found.high
    assert 86 <= inside <= 100


def test_pairing_is_kept() -> None:
    rng = np.random.default_rng(2)
    hardness = rng.normal(50, 20, 100)
    found = paired_difference(hardness + rng.normal(1, 0.5, 100), hardness, samples=1500)
    assert found.high - found.low < 0.5


def test_weights_and_seeds() -> None:
    first, second = np.array([1.0, 5.0, 100.0]), np.zeros(3)
    weights = np.array([3.0, 1.0, 0.0])
    found = paired_difference(first, second, weights=weights, samples=500)
    assert found.mean == pytest.approx(2)
    assert (found.low, found.high) == (1, 5)
    values = np.arange(20.0)
    again = [paired_difference(values, values[::-1], samples=50, seed=seed) for seed in (3, 3, 4)]
    assert again[0] == again[1]
    assert again[0].low != again[2].low


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]])])
def test_bad_figures(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="of one length"):
        paired_difference(np.array(first), np.array(second))


def test_bad_level() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_difference(np.ones(2), np.ones(2), level=95)
