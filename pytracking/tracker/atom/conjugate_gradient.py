"""Gauss-Newton with conjugate gradients: nonlinear least squares over a few tensors, without forming a matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


def gauss_newton(
    residuals: Callable[..., Tensors],
    start: Sequence[Tensor],
    *,
    rounds: int,
    iterations: int,
    preconditioner: Sequence[float] | None = None,
) -> Tensors:
    """Minimise the sum of squares of `residuals(*parameters)` (Danelljan et al., "ATOM", CVPR 2019, section 3.2).

    Every round linearises the residuals, r(p + d) = r(p) + J d, solves J'J d = -J'r by conjugate gradients from d = 0,
    and takes the whole step.

    Args:
        residuals: parameters -> tuple of tensors; twice differentiable by torch.
        start: the parameters, one or several tensors.
        rounds: linearisations.
        iterations: number of iterations of conjugate gradients in each round.
        preconditioner: a factor on the residual of the normal equations for each parameter; None for 1.

    Returns:
        The parameters after the last round, without gradients.
    """
    parameters = tuple(tensor.detach() for tensor in start)
    factors = [1.0] * len(parameters) if preconditioner is None else list(preconditioner)
    for _ in range(rounds):
        step = _gauss_newton_step(residuals, parameters, iterations, factors)
        parameters = tuple(tensor + change for tensor, change in zip(parameters, step))
    return parameters


def _gauss_newton_step(
    residuals: Callable[..., Tensors], point: Tensors, iterations: int, preconditioner: Sequence[float]
) -> Tensors:
    """The d that `gauss_newton` adds in one round."""
    with torch.enable_grad():
        point = tuple(tensor.detach().requires_grad_() for tensor in point)
        at_point = residuals(*point)
        # J'u is linear in u, so that its derivative in u is J: both directions without evaluating residuals again.
        dual = tuple(torch.zeros_like(residual).requires_grad_() for residual in at_point)
        transposed = torch.autograd.grad(at_point, point, dual, create_graph=True)

    def transpose(dual: Tensors) -> Tensors:
        return torch.autograd.grad(at_point, point, dual, retain_graph=True)

    def normal_matrix(step: Tensors) -> Tensors:
        return transpose(torch.autograd.grad(transposed, dual, step, retain_graph=True))

    downhill = tuple(-gradient for gradient in transpose(tuple(residual.detach() for residual in at_point)))
    return conjugate_gradient(normal_matrix, downhill, iterations, preconditioner)


def conjugate_gradient(
    matrix: Callable[[Tensors], Tensors], target: Tensors, iterations: int, preconditioner: Sequence[float]
) -> Tensors:
    """Solve `matrix(x) = target` approximately, from x = 0, with directions by Polak and Ribiere.

    Args:
        matrix: a symmetric positive semi-definite linear map on tuples of tensors.
        target: tensors of the shapes of x.
        iterations: at most as many as x has numbers make sense; the solution is exact then.
        preconditioner: the inverse of the matrix is taken for about this, a factor for each tensor.

    Returns:
        x.
    """
    solution = tuple(torch.zeros_like(tensor) for tensor in target)
    residual = target
    conditioned = _scaled(residual, preconditioner)
    direction = conditioned
    decrease = _inner(residual, conditioned)
    # A clamped denominator makes the steps zero once the solution is exact.
    tiny = torch.finfo(decrease.dtype).tiny
    for _ in range(iterations):
        image = matrix(direction)
        length = decrease / _inner(direction, image).clamp(min=tiny)
        solution = _moved(solution, direction, length)
        previous, residual = residual, _moved(residual, image, -length)
        conditioned = _scaled(residual, preconditioner)
        before, decrease = decrease, _inner(residual, conditioned)
        turn = (decrease - _inner(previous, conditioned)) / before.clamp(min=tiny)
        direction = _moved(conditioned, direction, turn.clamp(min=0))
    return solution


def _inner(a: Tensors, b: Tensors) -> Tensor:
    return torch.stack([(one * other).sum() for one, other in zip(a, b)]).sum()


def _scaled(tensors: Tensors, factors: Sequence[float]) -> Tensors:
    return tuple(tensor * factor for tensor, factor in zip(tensors, factors))


def _moved(tensors: Tensors, direction: Tensors, length: Tensor) -> Tensors:
    return tuple(tensor + length * along for tensor, along in zip(tensors, direction))
