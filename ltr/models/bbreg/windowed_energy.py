"""The energy over boxes whose bins stay in their windows, with its gradient in closed form (`ClosedFormHead.climb`).

A graph of it has as few operations as it takes: what finds out shapes there costs as much as a small product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ltr.models.bbreg.closed_form import ClosedFormHead


class WindowedEnergy:
    """The energy of N images over boxes, and its gradient, for `gradient_ascent`.

    Args:
        closed: the prepared head.
        features, columns, lines, first, within: as for `ClosedFormHead.climb`, with features in place of parts.

    Attributes:
        visited: [N, M, 4] all boxes that were scored.
    """

    def __init__(
        self,
        closed: ClosedFormHead,
        features: Sequence[Tensor],
        columns: Sequence[Tensor],
        lines: Sequence[Tensor],
        first: Tensor,
        within: Tensor,
    ) -> None:
        self.visited: list[Tensor] = []
        self._closed = closed
        dtype = closed.output.dtype
        # A constant in a graph, which is for one image.
        images = int(first.shape[0])
        self._contracted: list[Tensor] = []
        self._cells: list[tuple[int, int]] = []
        for feature, along_x, along_y, weights in zip(features, columns, lines, closed.weights):
            channels, (bins, nx), ny = feature.shape[1], along_x.shape[1:], along_y.shape[2]
            flat = feature.permute(0, 2, 3, 1).reshape(-1, channels).to(dtype)
            at = along_y[:, :, None, :, None] * feature.shape[3] + along_x[:, None, :, None, :]
            at = at.permute(1, 2, 0, 3, 4).reshape(-1)
            contracted = torch.bmm(flat.index_select(0, at).view(bins**2, -1, channels), weights)
            contracted = contracted.view(bins, bins, images, ny, nx, -1).permute(2, 0, 3, 1, 4, 5)
            self._contracted.append(contracted.reshape(images, bins * ny * bins * nx, -1))
            self._cells.append((nx, ny))
        first = first.to(dtype)
        shift = torch.cat((-first, torch.zeros_like(first)), dim=1)
        self._shift = (shift + closed.origin if closed.has_origin else shift).unsqueeze(1)
        # The cells of a window, and these with one more on either side.
        self._within = within.to(dtype)
        self._places = torch.cat((self._within[:1] - 1, self._within, self._within[-1:] + 1))
        # What is at a cell's neighbours and itself: the rise from one to the other, and how much it bends.
        away = self._places[:, None] - self._within
        self._rise = (away == 1).to(dtype) - (away == -1).to(dtype)
        self._bend = 3.0 * (away == 0).to(dtype) - (away.abs() <= 1).to(dtype)
        self._bend_of_squares = self._bend / 2
        self._bins = [level.settings.bins for level in closed.levels for _ in range(2)]

    def __call__(self, boxes: Tensor) -> Tensor:
        """Scores [N, M] of boxes [N, M, 4] (x, y, w, h) in crop pixels."""
        return self.score_and_gradient(boxes)[0]

    def score_and_gradient(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [N, M] of boxes [N, M, 4], and the gradient [N, M, 4] of each in its box."""
        self.visited.append(boxes)
        closed = self._closed
        axes = self._weights(boxes).split(self._bins, dim=3)
        pairs, hidden = [], []
        for level, (contracted, bias, (nx, ny)) in enumerate(zip(self._contracted, closed.biases, self._cells)):
            along_x, along_y = (
                _reshaped(axes[2 * level + axis][..., :cells], (0, 0, 3, -1)) for axis, cells in enumerate((nx, ny))
            )
            pairs.append((along_y, along_x))
            outer = _reshaped(along_y[:, :, :1].transpose(2, 3) * along_x[:, :, :1], (0, 0, -1))
            hidden.append(torch.baddbmm(bias, outer, contracted))
        active = torch.cat(hidden, dim=2).relu_()
        scores = torch.matmul(active, closed.output)[..., 0] + closed.offset
        of_hidden = (active > 0) * closed.output[:, 0]
        found = []
        for contracted, of_own, (along_y, along_x) in zip(
            self._contracted, of_hidden.split([weights.shape[2] for weights in closed.weights], dim=2), pairs
        ):
            of_outer = _reshaped(torch.matmul(of_own, contracted.transpose(1, 2)), (0, 0, None, -1), along_y)
            products = torch.matmul(along_y, torch.matmul(of_outer, along_x.transpose(2, 3)))
            found.append(_reshaped(products, (0, 0, -1)))
        return scores, torch.matmul(torch.cat(found, dim=2), closed.back)

    def _weights(self, boxes: Tensor) -> Tensor:
        """[N, M, 3, R, cells]: the mean of each cell's hat over each bin, and its change by shift and stretch."""
        rows = torch.matmul(boxes, self._closed.spread) + self._shift
        start, length = rows[..., None].split(self._closed.numbers.numel(), dim=2)
        # An empty bin has no weights: the inverse of its length is made zero. NaN stays, and shows.
        inverse = length.reciprocal().masked_fill(length <= torch.finfo(length.dtype).tiny ** 0.5, 0)
        # Where in the bin, from 0 to 1, each cell lies: its hat starts to rise at the one before it, and ends at the
        # one after it (ltr/ops/prroi_pool.py).
        at = ((self._places - start) * inverse).clamp_(0, 1)
        slope, lever = torch.matmul(at, self._bend), torch.matmul(at * at, self._bend_of_squares)
        weights = torch.matmul(at, self._rise) + length * lever - (self._within - start) * slope
        changes = torch.cat((weights, slope, lever + self._closed.numbers * slope), dim=2)
        return _reshaped(changes, (0, 0, 3, sum(self._bins), -1))


class _Reshape(torch.autograd.Function):
    """See `_reshaped`; with `like`, a size of None is that of its last dimension."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, sizes: tuple[int | None, ...], like: Tensor) -> Tensor:
        known = (like.shape[-1] if size is None else size for size in sizes)
        return values.reshape([values.shape[k] if size == 0 else size for k, size in enumerate(known)])

    @staticmethod
    def symbolic(g: Any, values: Any, sizes: tuple[int | None, ...], like: Any) -> Any:
        own = g.op("Shape", like, start_i=-1)
        parts = [own if size is None else g.op("Constant", value_t=torch.tensor([size])) for size in sizes]
        return g.op("Reshape", values, g.op("Concat", *parts, axis_i=0))


def _reshaped(values: Tensor, sizes: tuple[int | None, ...], like: Tensor | None = None) -> Tensor:
    """Values in another shape: a size of 0 is kept, -1 is what is left, and None the last one of `like`.

    It is one operation in a graph or three, where the exporter makes six of `flatten` and `unflatten`.
    """
    change = _Reshape.apply if torch.jit.is_tracing() else partial(_Reshape.forward, None)
    return change(values, sizes, values if like is None else like)
