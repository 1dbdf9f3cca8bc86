"""Langevin sampling of the model density exp f(x, y) / Z over y."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ltr.errors import UserError


def langevin(
    energy: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    step_length: float | Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Run chains y <- y + a^2/2 grad f(y) + a eps, eps ~ N(0, I) (unadjusted; docs/reference.md, section 1, ML-MCMC).

    Works inside `torch.no_grad`, and leaves no gradient in the parameters of the energy.

    Args:
        energy: scores [B, M] of points [B, M, D], differentiable in the points.
        start: [B, M, D].
        steps: L.
        step_length: a, or [D] of them.
        generator: on the device of `start`.

    Returns:
        [B, M, D], the last points, without gradient.

    Raises:
        ValueError: a negative number of steps.
    """
    if steps < 0:
        raise UserError(f"steps must not be negative, is {steps}")
    points = start.detach()
    for _ in range(steps):
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(energy(leaf).sum(), leaf)
        noise = torch.randn(points.shape, generator=generator, device=points.device, dtype=points.dtype)
        points = points + 0.5 * step_length**2 * gradient + step_length * noise
    return points
