"""Box refinement: proposals around the target climb the box head's score; the best few are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pytracking.tracker.shared.geometry import Array, cast, library

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
        box_uncertainty: whether results say how sure the box is; None for where they can, which is for energies in
            relative space.
        uncertainty_temperature: what the energy is divided by for that; above 1 the box is less sure.
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
    box_uncertainty: bool | None = None
    uncertainty_temperature: float = 1.0


def draw_jitter(parameters: RefinementParameters, generator: torch.Generator | None = None) -> Tensor:
    """One frame's jitter [num_init_random_boxes, 4] in -1/2..1/2, columns centre x, centre y, width, height.

    Drawn on the CPU from `generator`, None for torch's default one.
    """
    return torch.rand(parameters.num_init_random_boxes, 4, generator=generator) - 0.5


def propose(boxes: Array, jitter: Array, parameters: RefinementParameters) -> Array:
    """The boxes that the ascent starts from: each box itself, then jittered copies of it.

    Args:
        boxes: [N, 4] (x, y, w, h) in sample pixels, on the host or on a device as `jitter`.
        jitter: [N, J, 4], from `draw_jitter`.

    Returns:
        [N, 1 + J, 4]. No side falls below a third of its box's shorter one.
    """
    xp, whole = library(boxes), boxes[:, None]
    corner, size = whole[..., :2], whole[..., 2:]
    width, height = size[..., :1], size[..., 1:]
    side = xp.sqrt(width * height)
    jittered = size + jitter[..., 2:] * (side * parameters.box_jitter_sz)
    jittered = xp.maximum(jittered, xp.minimum(width, height) / 3)
    centre = corner + size / 2 + jitter[..., :2] * (side * parameters.box_jitter_pos)
    return xp.concatenate([whole, xp.concatenate([centre - jittered / 2, jittered], axis=2)], axis=1)


def climb(ascend: Ascend, starts: Array, parameters: RefinementParameters) -> tuple[Array, Array]:
    """Climb the energy from `starts`.

    Args:
        ascend: `gradient_ascent` of boxes [N, M, 4] (x, y, w, h) in sample pixels on an energy.
        starts: [N, M, 4]; in relative space the size of each image's first one is the unit of the centre.

    Returns:
        Boxes [N, M, 4], and their scores [N, M] before the last step, where the starts are.
    """
    points = starts if isinstance(starts, Tensor) else torch.from_numpy(starts)
    boxes, scores = ascend(
        points,
        space=parameters.box_refinement_space,
        steps=parameters.box_refinement_iter,
        step_length=parameters.box_refinement_step_length,
        decay=parameters.box_refinement_step_decay,
        normalise_size=points[:, :1, 2:],
        per_box_step_control=parameters.box_refinement_step_control,
    )
    return (boxes, scores) if points is starts else (boxes.numpy(), scores.numpy())


def refine(ascend: Ascend, starts: Array, parameters: RefinementParameters) -> tuple[Array, Array]:
    """The mean of the best boxes of each image that `climb` reaches; see `climb` and `best_mean`."""
    return best_mean(*climb(ascend, starts, parameters), parameters)


def best_mean(boxes: Array, scores: Array, parameters: RefinementParameters) -> tuple[Array, Array]:
    """Means of the best-scored boxes of fair aspect; sides count as at least 1 pixel.

    Args:
        boxes: [N, M, 4] (x, y, w, h), on the host or on a device as the scores.
        scores: [N, M].

    Returns:
        [N, 4], and [N] whether any box of the image has a fair aspect; without one its mean means nothing.
    """
    xp, sides = library(boxes), boxes[..., 2:].clip(1)
    boxes = xp.concatenate([boxes[..., :2], sides], axis=2)
    aspect = sides[..., 0] / sides[..., 1]
    fair = (aspect < parameters.maximal_aspect_ratio) & (aspect > 1 / parameters.maximal_aspect_ratio)
    ranked, count = xp.where(fair, scores, -math.inf), min(parameters.iounet_k, scores.shape[1])
    if isinstance(ranked, Tensor):
        best = ranked.topk(count, dim=1).indices
        counts = fair.gather(1, best)[..., None]
        chosen = boxes.gather(1, best[..., None].expand(-1, -1, 4))
    else:
        # From the end: NaN comes last here, and first in `topk`.
        places = np.arange(len(ranked))[:, None], ranked.argsort(1)[:, : -count - 1 : -1]
        counts, chosen = fair[places][..., None], boxes[places]
    means = xp.where(counts, chosen, 0).sum(1) / cast(counts.sum(1).clip(1), boxes.dtype)
    return means, fair.any(1)
