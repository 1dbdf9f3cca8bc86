"""Points that follow the gradient of an energy: gradient ascent of boxes (docs/reference.md, sections 4 and 9), in
relative or absolute box space, and Langevin chains (section 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ltr.errors import UserError
from ltr.ops.boxes import from_relative, to_relative

BoxEnergy = Callable[[Tensor], Tensor]
ScoreAndGradient = Callable[[Tensor], tuple[Tensor, Tensor]]


@runtime_checkable
class EnergyWithGradient(Protocol):
    """An energy that brings its gradient and needs no autograd."""

    def score_and_gradient(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [B, M] of boxes [B, M, 4] (x, y, w, h), and the gradient [B, M, 4] of each in its box."""


def gradient_ascent(
    energy: BoxEnergy | EnergyWithGradient,
    boxes: Tensor,
    *,
    space: str = "relative",
    steps: int,
    step_length: float | tuple[float, float] | Tensor,
    decay: float = 1.0,
    normalise_size: Tensor | None = None,
    per_box_step_control: bool = False,
    step_factor: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Move boxes up the energy, each on its own.

    Works inside `torch.no_grad`, and leaves no gradient in the parameters of the energy. No size or aspect limit is
    applied.

    Args:
        energy: scores [B, M] of boxes [B, M, 4] (x, y, w, h) in crop pixels, differentiable in the boxes, or an energy
            that brings its gradient.
        boxes: [B, M, 4] the starts.
        space: 'relative': y <- y + step x gradient with y = [cx/sw, cy/sh, log w, log h];
            'absolute': y <- y + step x gradient x (w, h, w, h) with y = (x, y, w, h).
        steps: number of steps; with 0 the starts are scored.
        step_length: one, or (step of the centre, step of the size); in absolute space the corner counts as centre; or a
            tensor [4] on the boxes' device.
        decay: factor on the step length after every step.
        normalise_size: (sw, sh) in crop pixels, broadcast to [B, M, 2]; the first box's size of each image without it.
            Absolute space has no use for it.
        per_box_step_control: a box whose score does not rise goes back and has its step multiplied by `step_factor`.
        step_factor: in (0, 1).

    Returns:
        (boxes [B, M, 4], scores [B, M]) without gradient. The scores are those before the last step, as in the
        reference tracker; with step control, which knows them, those of the returned boxes.

    Raises:
        ValueError: an unknown space, a negative number of steps or boxes of a wrong shape.
    """
    if space not in ("relative", "absolute"):
        raise UserError(f"space must be 'relative' or 'absolute', not '{space}'")
    if steps < 0:
        raise UserError(f"steps must not be negative, is {steps}")
    if boxes.dim() != 3 or boxes.shape[2] != 4:
        raise UserError(f"boxes must have shape [B, M, 4], not {list(boxes.shape)}")
    value_and_gradient = energy.score_and_gradient if isinstance(energy, EnergyWithGradient) else _by_autograd(energy)
    control = step_factor if per_box_step_control else None
    boxes = boxes.detach()
    if isinstance(step_length, Tensor):
        lengths = step_length
    else:
        centre, size = step_length if isinstance(step_length, tuple) else (step_length, step_length)
        lengths = boxes.new_tensor([centre, centre, size, size])
    with torch.no_grad():
        if space == "absolute":

            def absolute(points: Tensor) -> tuple[Tensor, Tensor]:
                scores, gradient = value_and_gradient(points)
                return scores, gradient * points[..., 2:].repeat(1, 1, 2)

            return _climb(absolute, boxes, steps, lengths, decay, control)

        unit = boxes[:, :1, 2:] if normalise_size is None else normalise_size.detach()

        def relative(points: Tensor) -> tuple[Tensor, Tensor]:
            scores, gradient = value_and_gradient(from_relative(points, unit))
            return scores, relative_gradient(gradient, points, unit)

        points, scores = _climb(relative, to_relative(boxes, unit), steps, lengths, decay, control)
        return from_relative(points, unit), scores


def relative_gradient(gradient: Tensor, points: Tensor, unit: Tensor) -> Tensor:
    """The gradient [..., 4] in relative points [..., 4] of what has `gradient` [..., 4] in their boxes (x, y, w, h)."""
    of_corner, of_size = gradient.split(2, dim=-1)
    return torch.cat((of_corner * unit, torch.sub(of_size, of_corner, alpha=0.5) * points[..., 2:].exp()), dim=-1)


def _by_autograd(energy: BoxEnergy) -> ScoreAndGradient:
    def score_and_gradient(boxes: Tensor) -> tuple[Tensor, Tensor]:
        # A leaf of its own: one that was made for inference alone has no gradient.
        with torch.inference_mode(False), torch.enable_grad():
            leaf = boxes.detach().clone().requires_grad_()
            scores = energy(leaf)
            (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        return scores.detach(), gradient

    return score_and_gradient


def _climb(
    score_and_direction: ScoreAndGradient,
    points: Tensor,
    steps: int,
    step: Tensor,
    decay: float,
    step_factor: float | None,
) -> tuple[Tensor, Tensor]:
    """Ascent of points [B, M, 4] along their directions; without `step_factor`, every step is taken."""
    if steps == 0:
        return points, score_and_direction(points)[0]
    if step_factor is None:
        scores = points.new_empty(points.shape[:2])
        for _ in range(steps):
            scores, direction = score_and_direction(points)
            points = torch.addcmul(points, step, direction)
            step = step * decay if decay != 1 else step
        return points, scores

    step = step.expand_as(points)
    scores, direction = score_and_direction(points)
    for _ in range(steps):
        trial = points + step * direction
        trial_scores, trial_direction = score_and_direction(trial)
        # A NaN does not compare as greater, so a box never moves to one.
        better = (trial_scores > scores).to(points.device).unsqueeze(-1)
        scores = torch.where(trial_scores > scores, trial_scores, scores)
        points = torch.where(better, trial, points)
        direction = torch.where(better, trial_direction, direction)
        step = torch.where(better, step, step * step_factor) * decay
    return points, scores


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
        _, gradient = _by_autograd(energy)(points)
        noise = torch.randn(points.shape, generator=generator, device=points.device, dtype=points.dtype)
        points = points + 0.5 * step_length**2 * gradient + step_length * noise
    return points
