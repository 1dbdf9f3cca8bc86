"""KL divergence of models from the true density on the grid, in log space (docs/reference.md, section 8)."""

from __future__ import annotations

import torch
from torch import Tensor

from experiments.regression_1d import network
from experiments.regression_1d.data import axis
from experiments.regression_1d.network import Score
from ltr.ebm.density import grid_kl_divergence, grid_log_density

_ROWS = 256


@torch.no_grad()
def model_log_density(row: Tensor, cells: int, score: Score) -> Tensor:
    """log p(y | x) [cells (x), cells (y)] of float64 of one model, normalised on the grid.

    Args:
        row: [P], its weights.
        cells: points a side of the grid.
    """
    values, cell = axis(cells)
    points = values.float()
    base = network.x_half(row.unsqueeze(0), points.unsqueeze(0))[0]
    parts = [
        score(part, points.expand(len(part), -1), network.y_half(row.unsqueeze(0))[0]) for part in base.split(_ROWS)
    ]
    return grid_log_density(torch.cat(parts).double(), cell)


def kl_divergence(log_true: Tensor, log_model: Tensor) -> float:
    """KL(p_true || p_model) of every x, and its mean over x.

    Args:
        log_true, log_model: [cells (x), cells (y)]; -inf in `log_true` counts nothing (0 log 0 = 0).
    """
    _, cell = axis(log_true.shape[-1])
    return float(grid_kl_divergence(log_true, log_model, cell).mean())


def divergences(weights: Tensor, log_true: Tensor, score: Score) -> list[float]:
    """The divergence of every model [K, P] from `log_true` [cells, cells]; NaN for one that is not finite."""
    found = []
    for row in weights:
        if row.isfinite().all():
            found.append(kl_divergence(log_true, model_log_density(row, log_true.shape[-1], score)))
        else:
            found.append(float("nan"))
    return found
