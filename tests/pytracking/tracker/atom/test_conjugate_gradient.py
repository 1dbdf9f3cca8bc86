from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.tracker.atom.conjugate_gradient import conjugate_gradient, gauss_newton


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@given(seed=st.integers(0, 1000), unknowns=st.integers(1, 8), more=st.integers(0, 8))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_linear_least_squares_is_solved_in_as_many_iterations_as_unknowns(seed, unknowns, more):
    matrix, data = random(seed, unknowns + more + 2, unknowns), random(seed + 1, unknowns + more + 2)
    (solution,) = gauss_newton(
        lambda x: (matrix @ x - data,), [random(seed + 2, unknowns)], rounds=1, iterations=unknowns
    )
    expected = torch.linalg.lstsq(matrix, data).solution
    torch.testing.assert_close(solution, expected, atol=1e-6, rtol=1e-6)


def test_more_iterations_than_unknowns_do_no_harm():
    matrix, data = random(0, 6, 3), random(1, 6)
    few, many = (
        gauss_newton(lambda x: (matrix @ x - data,), [torch.zeros(3).double()], rounds=1, iterations=iterations)[0]
        for iterations in (3, 60)
    )
    torch.testing.assert_close(few, many)


def test_fewer_iterations_than_unknowns_lower_the_sum_of_squares_each():
    matrix, data = random(0, 12, 8), random(1, 12)
    sums = [
        (matrix @ gauss_newton(lambda x: (matrix @ x - data,), [torch.zeros(8).double()], rounds=1, iterations=n)[0])
        .sub(data)
        .square()
        .sum()
        .item()
        for n in range(9)
    ]
    assert all(after < before for before, after in pairwise(sums))


def test_several_tensors_and_several_residuals_are_one_problem():
    left, right, data = random(0, 9, 2), random(1, 9, 3), random(2, 9)

    def residuals(a, b):
        return left @ a.flatten() + right @ b - data, 0.3 * a, 0.2 * b

    a, b = gauss_newton(residuals, [torch.zeros(1, 2).double(), torch.zeros(3).double()], rounds=1, iterations=5)
    regularised = torch.cat(
        [torch.cat([left, right], 1), torch.diag(torch.tensor([0.3, 0.3, 0.2, 0.2, 0.2], dtype=torch.float64))]
    )
    expected = torch.linalg.lstsq(regularised, torch.cat([data, torch.zeros(5).double()])).solution
    torch.testing.assert_close(torch.cat([a.flatten(), b]), expected)
    assert a.shape == (1, 2)


def test_the_right_preconditioner_needs_one_iteration():
    def matrix(tensors):
        return 100 * tensors[0], 0.01 * tensors[1]

    target = (random(0, 4), random(1, 5))
    exact = conjugate_gradient(matrix, target, 1, (0.01, 100.0))
    torch.testing.assert_close(exact, (target[0] / 100, target[1] * 100))
    plain = conjugate_gradient(matrix, target, 1, (1.0, 1.0))
    assert not torch.allclose(plain[1], target[1] * 100, rtol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_target_of_zero_has_the_solution_zero(dtype):
    zero = (torch.zeros(3, dtype=dtype),)
    assert torch.equal(conjugate_gradient(lambda x: x, zero, 5, (1.0,))[0], zero[0])


def test_gauss_newton_converges_on_rosenbrocks_valley():
    # (1 - x)^2 + 100 (y - x^2)^2 as a sum of squares; the minimum is (1, 1).
    x, y = gauss_newton(
        lambda x, y: (1 - x, 10 * (y - x**2)),
        [torch.tensor([-1.2]).double(), torch.tensor([1.0]).double()],
        rounds=5,
        iterations=2,
    )
    torch.testing.assert_close(torch.cat([x, y]), torch.ones(2).double())


def test_gauss_newton_finds_the_curve_that_made_the_data():
    times = torch.linspace(0, 3, 20).double()
    data = 2.5 * torch.exp(-1.3 * times)
    height, rate = gauss_newton(
        lambda height, rate: (height * torch.exp(-rate * times) - data,),
        [torch.tensor(1.0).double(), torch.tensor(1.0).double()],
        rounds=10,
        iterations=2,
    )
    assert height.item() == pytest.approx(2.5) and rate.item() == pytest.approx(1.3)


def test_works_where_gradients_are_switched_off_and_leaves_none_behind():
    start = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        (solution,) = gauss_newton(lambda x: (x - 3,), [start], rounds=1, iterations=2)
    assert solution.tolist() == pytest.approx([3, 3])
    assert not solution.requires_grad and start.grad is None
