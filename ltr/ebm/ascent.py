"""Gradient ascent of boxes on an energy, in relative or absolute box space (docs/reference.md, sections 4 and 9)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ltr.errors import UserError
from ltr.ops.boxes import from_relative, to_relative

BoxEnergy = Callable[[Tensor], Tensor]


def gradient_ascent(
    energy: BoxEnergy,
    boxes: Tensor,
    *,
    space: str = "relative",
    steps: int,
    step_length: float | tuple[float, float],
    decay: float = 1.0,
    normalise_size: Tensor | None = None,
    per_box_step_control: bool = False,
    step_factor: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Move boxes up the energy, each on its own.

    Works inside `torch.no_grad`, and leaves no gradient in the parameters of the energy. No size or aspect limit is
    applied.

    Args:
        energy: scores [B, M] of boxes [B, M, 4] (x, y, w, h) in crop pixels, differentiable in the boxes.
        boxes: [B, M, 4] the starts.
        space: 'relative': y <- y + step x gradient with y = [cx/sw, cy/sh, log w, log h];
            'absolute': y <- y + step x gradient x (w, h, w, h) with y = (x, y, w, h).
        steps: number of steps; with 0 the starts are scored.
        step_length: one, or (step of the centre, step of the size); in absolute space the corner counts as centre.
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
    boxes = boxes.detach()
    centre, size = step_length if isinstance(step_length, tuple) else (step_length, step_length)
    step = boxes.new_tensor([centre, centre, size, size])
    if space == "absolute":
        return _climb(energy, boxes, _by_size, steps, step, decay, step_factor if per_box_step_control else None)

    unit = boxes[:, :1, 2:] if normalise_size is None else normalise_size.detach()

    def relative_energy(points: Tensor) -> Tensor:
        return energy(from_relative(points, unit))

    points, scores = _climb(
        relative_energy,
        to_relative(boxes, unit),
        _as_is,
        steps,
        step,
        decay,
        step_factor if per_box_step_control else None,
    )
    return from_relative(points, unit), scores


def _by_size(gradient: Tensor, boxes: Tensor) -> Tensor:
    return gradient * boxes[..., 2:].repeat(1, 1, 2)


def _as_is(gradient: Tensor, _: Tensor) -> Tensor:
    return gradient


def _climb(
    energy: BoxEnergy,
    points: Tensor,
    direction: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    step: Tensor,
    decay: float,
    step_factor: float | None,
) -> tuple[Tensor, Tensor]:
    """Ascent of points [B, M, 4] along `direction(gradient, points)`; without `step_factor`, every step is taken."""
    if steps == 0:
        with torch.no_grad():
            return points, energy(points).detach()
    if step_factor is None:
        scores = points.new_empty(points.shape[:2])
        for _ in range(steps):
            scores, gradient = _score_and_gradient(energy, points)
            points = points + step * direction(gradient, points)
            step = step * decay
        return points, scores

    step = step.expand_as(points)
    scores, gradient = _score_and_gradient(energy, points)
    for _ in range(steps):
        trial = points + step * direction(gradient, points)
        trial_scores, trial_gradient = _score_and_gradient(energy, trial)
        # A NaN does not compare as greater, so a box never moves to one.
        better = (trial_scores > scores).to(points.device).unsqueeze(-1)
        scores = torch.where(trial_scores > scores, trial_scores, scores)
        points = torch.where(better, trial, points)
        gradient = torch.where(better, trial_gradient, gradient)
        step = torch.where(better, step, step * step_factor) * decay
    return points, scores


def _score_and_gradient(energy: BoxEnergy, points: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        scores = energy(points)
        (gradient,) = torch.autograd.grad(scores.sum(), points)
    return scores.detach(), gradient
