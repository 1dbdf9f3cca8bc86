"""The study's network for many models at once: one row of weights a model (docs/reference.md, section 8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WIDTH = 10
# Name, outputs, inputs (0: a bias), fan-in, in the order of a model's row. The y-half comes last: kernel.cpp reads it.
_X_HALF = (
    ("x1", WIDTH, 1, 1),
    ("x1_bias", WIDTH, 0, 1),
    ("x2", WIDTH, WIDTH, WIDTH),
    ("x2_bias", WIDTH, 0, WIDTH),
    ("joint_x", WIDTH, WIDTH, 2 * WIDTH),
    ("joint_bias", WIDTH, 0, 2 * WIDTH),
)
_Y_HALF = (
    ("y1", WIDTH, 1, 1),
    ("y1_bias", WIDTH, 0, 1),
    ("joint_y", WIDTH, WIDTH, 2 * WIDTH),
    ("residual1", WIDTH, WIDTH, WIDTH),
    ("residual1_bias", WIDTH, 0, WIDTH),
    ("residual2", WIDTH, WIDTH, WIDTH),
    ("residual2_bias", WIDTH, 0, WIDTH),
    ("out", 1, WIDTH, WIDTH),
    ("out_bias", 1, 0, WIDTH),
)
Layout = Sequence[tuple[str, int, int, int]]
# f [B, M] from (of the x-half [B, H], points y [B, M], weights of the y-half [P]).
Score = Callable[[Tensor, Tensor, Tensor], Tensor]


def _sizes(layout: Layout) -> list[int]:
    return [outputs * max(inputs, 1) for _, outputs, inputs, _ in layout]


X_COUNT, Y_COUNT = sum(_sizes(_X_HALF)), sum(_sizes(_Y_HALF))


def _parts(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Named weights [..., outputs, inputs] and biases [..., outputs] of rows [..., P]."""
    found = {}
    for (name, outputs, inputs, _), part in zip(layout, weights.split(_sizes(layout), dim=-1)):
        found[name] = part.unflatten(-1, (outputs, inputs)) if inputs else part
    return found


def initial_weights(generator: torch.Generator) -> Tensor:
    """A model's row [P] of float32, each entry uniform in +-1/sqrt(fan-in), as `torch.nn.Linear` starts."""
    rows = []
    for (_, _, _, fan_in), size in zip((*_X_HALF, *_Y_HALF), (*_sizes(_X_HALF), *_sizes(_Y_HALF))):
        rows.append((2 * torch.rand(size, generator=generator) - 1) / math.sqrt(fan_in))
    return torch.cat(rows)


def x_half(weights: Tensor, x: Tensor) -> Tensor:
    """What x gives to the joint layer, for all models at once.

    The joint layer sees [hx, hy] concatenated, so its product is W_x hx + W_y hy, and the first summand is found once
    for all points y of an x.

    Args:
        weights: [K, P].
        x: [K, B].

    Returns:
        [K, B, H], W_x hx + bias.
    """
    part = _parts(weights[:, :X_COUNT], _X_HALF)
    h = torch.relu(x.unsqueeze(-1) * part["x1"].squeeze(-1).unsqueeze(1) + part["x1_bias"].unsqueeze(1))
    h = torch.relu(torch.baddbmm(part["x2_bias"].unsqueeze(1), h, part["x2"].transpose(1, 2)))
    return torch.baddbmm(part["joint_bias"].unsqueeze(1), h, part["joint_x"].transpose(1, 2))


def y_half(weights: Tensor) -> Tensor:
    """The part [K, P'] of rows [K, P] that `score` reads."""
    return weights[:, X_COUNT:]


def score(base: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """f of one model: tanh of the y-branch, of the joint layer, of two residual layers, and a linear output.

    Args:
        base: [B, H], of `x_half`.
        points: [B, M], y.
        weights: [P'], of `y_half`.

    Returns:
        [B, M].
    """
    part = _parts(weights, _Y_HALF)
    h = torch.tanh(points.unsqueeze(-1) * part["y1"].squeeze(-1) + part["y1_bias"])
    h = torch.tanh(h @ part["joint_y"].T + base.unsqueeze(1))
    h = h + torch.tanh(h @ part["residual1"].T + part["residual1_bias"])
    h = h + torch.tanh(h @ part["residual2"].T + part["residual2_bias"])
    return h @ part["out"][0] + part["out_bias"]
