"""How sure a refined box is: the spread of p(y | x) = exp(f(x, y)) / Z around it, by importance sampling."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ltr.ebm.density import moments
from ltr.ebm.noise import GaussianMixture
from ltr.ops.boxes import centres, from_relative, to_relative
from pytracking.tracker.base import BoxUncertainty
from pytracking.tracker.shared.refinement import Ascend

# Deviations of the centre and the size in relative space: about those of the energies on real clips, and twice that.
_PROPOSAL = ((0.05, 0.1), (0.1, 0.2))
_POINTS = 128
_COLUMNS = 5


def deviations(ascend: Ascend, boxes: Tensor, scale: Tensor, temperature: float = 1.0) -> Tensor:
    """Standard deviations of the boxes, and the log density at them.

    The points are the same for every box and frame: of a Sobol sequence, half of them from each component of the
    proposal. All targets' points are scored in one batch, and nothing waits for the device.

    Args:
        ascend: `gradient_ascent` of boxes [N, M, 4] (x, y, w, h) in sample pixels on an energy.
        boxes: [N, 4] the refined boxes.
        scale: [N] image pixels per sample pixel.
        temperature: what the energy is divided by.

    Returns:
        [N, 5], the columns of `BoxUncertainty`.
    """
    offsets, log_proposal = _points(boxes.device)
    unit = boxes[:, None, 2:]
    # The first point is the box itself.
    points = from_relative(to_relative(boxes[:, None], unit) + F.pad(offsets, (0, 0, 1, 0)), unit)
    scores = ascend(points, space="relative", steps=0, step_length=0.0, normalise_size=unit)[1] / temperature
    log_weights = scores[:, 1:] - log_proposal
    log_partition = torch.logsumexp(log_weights, dim=1) - math.log(_POINTS)
    sampled = points[:, 1:]
    _, covariance = moments(torch.cat([centres(sampled), sampled[..., 2:]], dim=2), log_weights)
    pixels = covariance.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt() * scale[:, None]
    return torch.cat([pixels, (scores[:, 0] - log_partition)[:, None]], dim=1)


def none_of(count: int, wanted: bool, like: Tensor) -> Tensor:
    """Rows of nothing known, [count, 5] NaN, or [count, 0] where uncertainty is not wanted."""
    return like.new_full((count, _COLUMNS if wanted else 0), math.nan)


def uncertainty_of(row: Tensor) -> BoxUncertainty | None:
    """A row of `deviations`; None for one of `none_of`, or where the energy is not finite."""
    return BoxUncertainty(*row.tolist()) if len(row) and row.isfinite().all() else None


@cache
def _points(device: torch.device) -> tuple[Tensor, Tensor]:
    """Offsets [M, 4] in relative space from the proposal, and the log of its density [M] at them."""
    proposal = GaussianMixture.from_centre_size(_PROPOSAL)
    uniform = torch.quasirandom.SobolEngine(4, scramble=True, seed=0).draw(_POINTS)
    # Far enough from 0 and 1 for the normal deviates to stay finite.
    normal = torch.special.ndtri(uniform.clamp(1e-4, 1 - 1e-4))
    offsets = normal * proposal.sigmas.repeat(_POINTS // len(_PROPOSAL), 1)
    return offsets.to(device), proposal.log_prob(offsets).to(device)
