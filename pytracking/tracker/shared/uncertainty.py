"""How sure a refined box is: p(y | x) = exp(f(x, y)) / Z around it as a Gaussian, by how the ascent drew boxes in.

On a quadratic energy of curvature A, a step of length s leaves the part 1 - s A of a distance from the peak. So where
the ascent started and where it ended tells A, and no box more has to be scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pytracking.tracker.base import BoxUncertainty
from pytracking.tracker.shared.geometry import Array
from pytracking.tracker.shared.refinement import RefinementParameters

# Fewer boxes than coordinates and one more cannot tell a curvature.
_FEWEST_BOXES = 5
# Starts of so small a variance, in relative space, say nothing: the energy then counts as flat.
_RIDGE = 1e-6
# A distance that shrinks to less than this part, or is overshot, has shrunk to it.
_SMALLEST_REST = 1e-3
# A box is at most so unsure: by a standard deviation of its own side.
_FLATTEST = 1.0


def ascent_rows(starts: Array, reached: Array, refined: Array, scale: Array) -> np.ndarray:
    """What `uncertainty_of` needs of an ascent on the host, in one row a target.

    Args:
        starts, reached: [N, M, 4] (x, y, w, h) in sample pixels, before and after.
        refined: [N] whether the target has a refined box.
        scale: [N] image pixels per sample pixel.

    Returns:
        [N, 1 + 8 M], NaN where nothing was refined.
    """
    boxes = [each.reshape(len(each), -1) for each in (starts, reached)]
    return np.where(refined[:, None], np.concatenate([scale[:, None], *boxes], axis=1), np.nan)


def uncertainty_of(row: np.ndarray, box: Sequence[float], parameters: RefinementParameters) -> BoxUncertainty | None:
    """How sure a box is.

    Args:
        row: [1 + 8 M] of `ascent_rows`; an empty one where nobody asks.
        box: (x, y, w, h) the refined box in image pixels.
        parameters: of the ascent, in relative space.

    Returns:
        None where no box was refined, the energy is not finite, or the ascent is too short or has too few boxes.
    """
    length = parameters.box_refinement_step_length
    centre, size = length if isinstance(length, tuple) else (length, length)
    steps, values = parameters.box_refinement_iter, row.astype(np.float64)
    if len(row) < 1 + 8 * _FEWEST_BOXES or steps == 0 or min(centre, size) <= 0 or not math.isfinite(values.sum()):
        return None
    boxes = values[1:].reshape(2, -1, 4)
    sides = boxes[..., 2:].clip(1)
    unit = sides[0, 0]
    # As `to_relative`, without the cost of small torch operations.
    points = np.concatenate([(boxes[..., :2] + sides / 2) / unit, np.log(sides)], axis=2)
    # In units of the step's square root the ascent shrinks distances by a symmetric matrix.
    root = np.sqrt([centre, centre, size, size])
    before, after = (points - points.mean(axis=1, keepdims=True)) / root
    ridge = np.diag(len(before) * _RIDGE / root**2)
    rest = np.linalg.solve(before.T @ before + ridge, before.T @ after + ridge)
    shares, axes = np.linalg.eigh((rest + rest.T) / 2)
    curvature = np.interp(shares.clip(_SMALLEST_REST, 1), *_shrinking(steps, parameters.box_refinement_step_decay))
    curvatures, axes = np.linalg.eigh((axes * curvature) @ axes.T / np.outer(root, root))
    variances = parameters.uncertainty_temperature / np.maximum(curvatures, _FLATTEST)
    # The centre's unit is the side of the first start, in sample pixels; the size's is the box itself.
    (unit_x, unit_y), (width, height) = (unit * values[0]).tolist(), box[2:]
    cx, cy, w, h = (np.sqrt(axes**2 @ variances) * (unit_x, unit_y, width, height)).tolist()
    log_determinant = sum(map(math.log, variances.tolist())) + 2 * math.log(unit_x * unit_y / (width * height))
    return BoxUncertainty(cx, cy, w, h, -2 * math.log(2 * math.pi) - log_determinant / 2)


@lru_cache(16)
def _shrinking(steps: int, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """What steps leave of a distance, increasing, and the curvature times the first step's length that it tells of."""
    curvature = np.linspace(1, 0, 10_001)
    return (1 - curvature[:, None] * decay ** np.arange(steps)).prod(axis=1), curvature
