"""Box refinement: proposals around the target climb the box head's score; the best few are averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Ascend = Callable[..., tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class RefinementParameters:
    """How boxes are refined; names as in the public parameter files of DiMP, values those of `dimp_nceplus`.

    Attributes:
        box_refinement_space: 'relative' ([cx/sw, cy/sh, log w, log h]) or 'absolute' (step x gradient x box size).
        box_refinement_iter: gradient steps.
        box_refinement_step_length: step, or (step of the centre, step of the size).
        box_refinement_step_decay: factor on the step length after each step.
        box_refinement_step_control: halve the step of a box whose score falls.
        num_init_random_boxes: random starts besides the classifier's box.
        box_jitter_pos: width of the starts' uniform jitter of the centre, over the square root of the box's area.
        box_jitter_sz: the same for width and height.
        iounet_k: number of the best boxes that are averaged.
        maximal_aspect_ratio: boxes longer or wider than this are dropped.
    """

    box_refinement_space: str = "relative"
    box_refinement_iter: int = 10
    box_refinement_step_length: float | tuple[float, float] = 2.5e-3
    box_refinement_step_decay: float = 1.0
    box_refinement_step_control: bool = False
    num_init_random_boxes: int = 9
    box_jitter_pos: float = 0.1
    box_jitter_sz: float = 0.5
    iounet_k: int = 3
    maximal_aspect_ratio: float = 6.0


def propose(box: Tensor, parameters: RefinementParameters, generator: torch.Generator | None = None) -> Tensor:
    """The boxes that the ascent starts from: `box` itself, then jittered copies of it.

    Args:
        box: [4] (x, y, w, h) in sample pixels, on the CPU.
        generator: what the jitter is drawn from, on the CPU; None for torch's default generator.

    Returns:
        [1 + num_init_random_boxes, 4]. The jitter is one draw of `torch.rand(n, 4)`, columns centre x, centre y,
        width, height; no side falls below a third of the box's shorter one.
    """
    if parameters.num_init_random_boxes == 0:
        return box[None]
    side = torch.sqrt(box[2] * box[3])
    jitter = torch.rand(parameters.num_init_random_boxes, 4, generator=generator) - 0.5
    size = box[2:] + jitter[:, 2:] * (side * parameters.box_jitter_sz)
    size = torch.maximum(size, box[2:].min() / 3)
    centre = box[:2] + box[2:] / 2 + jitter[:, :2] * (side * parameters.box_jitter_pos)
    return torch.cat([box[None], torch.cat([centre - size / 2, size], dim=1)])


def refine(ascend: Ascend, starts: Tensor, parameters: RefinementParameters) -> Tensor | None:
    """Climb the energy from `starts` and average the best boxes.

    Args:
        ascend: `gradient_ascent` of boxes [1, M, 4] (x, y, w, h) in sample pixels on an energy.
        starts: [M, 4], on the CPU; in relative space the first one's size is the unit of the centre.

    Returns:
        [4], the mean of the top boxes by the score before the last step, on the CPU; None if all were dropped for
        their aspect ratio.
    """
    boxes, scores = ascend(
        starts[None],
        space=parameters.box_refinement_space,
        steps=parameters.box_refinement_iter,
        step_length=parameters.box_refinement_step_length,
        decay=parameters.box_refinement_step_decay,
        normalise_size=starts[None, 0, 2:],
        per_box_step_control=parameters.box_refinement_step_control,
    )
    return best_mean(boxes[0].cpu(), scores[0].cpu(), parameters)


def best_mean(boxes: Tensor, scores: Tensor, parameters: RefinementParameters) -> Tensor | None:
    """Mean [4] of the best-scored of the boxes [M, 4] of fair aspect; sides count as at least 1 pixel."""
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:].clamp(min=1)], dim=1)
    aspect = boxes[:, 2] / boxes[:, 3]
    fair = (aspect < parameters.maximal_aspect_ratio) & (aspect > 1 / parameters.maximal_aspect_ratio)
    if not fair.any():
        return None
    boxes, scores = boxes[fair], scores[fair]
    best = scores.topk(min(parameters.iounet_k, len(scores))).indices
    return boxes[best].mean(dim=0)
