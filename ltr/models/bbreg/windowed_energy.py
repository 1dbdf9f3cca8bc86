"""The energy over boxes whose bins stay in their windows, with its gradient in closed form (`ClosedFormHead.climb`).

A graph of it has as few operations as it takes: what finds out shapes there costs as much as a small product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ltr.models.bbreg.closed_form import ClosedFormHead


class Cells(NamedTuple):
    """What is the same in all windows of n cells.

    within: [n] the cells.
    places: [n + 2] these and one more on either side.
    rise, bend, half_bend: [n + 2, n] of the hat of each cell: its rise from the place before to the one after, how much
        it bends at each place, and half of that.
    """

    within: Tensor
    places: Tensor
    rise: Tensor
    bend: Tensor
    half_bend: Tensor

    @classmethod
    def of(cls, within: Tensor) -> Cells:
        """Those of the numbers 0 ... n-1, floating."""
        places = torch.cat((within[:1] - 1, within, within[-1:] + 1))
        away = places[:, None] - within
        rise = (away == 1).to(within) - (away == -1).to(within)
        bend = 3.0 * (away == 0).to(within) - (away.abs() <= 1).to(within)
        return cls(within, places, rise, bend, bend / 2)


class Windowed(NamedTuple):
    """What an ascent of boxes whose bins stay in their windows needs of N images.

    parts: of the features or, with `modulation`, of the backbone's layers, [N, C, h, w] a level. Around a part of a
        layer is what its convolutions reach, zero beyond the layer's ends.
    inside: [N, 1, h', w'] a level, 1 within the layer, 0 beyond, for what lies between its two convolutions; not used
        for features.
    modulation: [N, C] a level, or None.
    columns, lines: cells of the windows in the parts' features, [N, bins, nx] and [N, bins, ny] a level; the lines of
        all images' parts count on.
    shift: [N, 1, 2R] what is added to starts and lengths of bins in cells, so that they count in their windows.
    cells: of the largest nx or ny.
    """

    parts: Sequence[Tensor]
    inside: Sequence[Tensor]
    modulation: Sequence[Tensor] | None
    columns: Sequence[Tensor]
    lines: Sequence[Tensor]
    shift: Tensor
    cells: Cells


class WindowedEnergy:
    """The energy of N images over boxes, and its gradient, for `gradient_ascent`.

    Args:
        closed: the prepared head.
        features: [N, C, h, w] a level, of the parts.
        windowed: where the windows are in them.

    Attributes:
        visited: [N, M, 4] all boxes that were scored.
    """

    def __init__(
        self,
        closed: ClosedFormHead,
        features: Sequence[Tensor],
        windowed: Windowed,
    ) -> None:
        self.visited: list[Tensor] = []
        self._closed = closed
        dtype = closed.output.dtype
        # A constant in a graph, which is for one image.
        images = int(windowed.shift.shape[0])
        self._contracted: list[Tensor] = []
        self._sizes: list[tuple[int, int]] = []
        self._across: list[Tensor] = []
        for feature, along_x, along_y, weights in zip(features, windowed.columns, windowed.lines, closed.weights):
            channels, (bins, nx), ny = feature.shape[1], along_x.shape[1:], along_y.shape[2]
            flat = feature.permute(0, 2, 3, 1).reshape(-1, channels).to(dtype)
            at = along_y[:, :, None, :, None] * feature.shape[3] + along_x[:, None, :, None, :]
            at = at.permute(1, 2, 0, 3, 4).reshape(-1)
            contracted = torch.bmm(flat.index_select(0, at).view(bins**2, -1, channels), weights)
            contracted = contracted.view(bins, bins, images, ny, nx, -1).permute(2, 0, 3, 1, 4, 5)
            self._contracted.append(contracted.reshape(images, bins * ny * bins * nx, -1))
            self._sizes.append((nx, ny))
            self._across.append(_reshaped(along_x, (0, -1)))
        self._shift, self._cells, self._nothing = windowed.shift, windowed.cells, windowed.shift.new_zeros(())
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
        for level, (contracted, bias, (nx, ny)) in enumerate(zip(self._contracted, closed.biases, self._sizes)):
            along_x, along_y = (
                _reshaped(axes[2 * level + axis][..., :cells], (0, 0, 3, -1)) for axis, cells in enumerate((nx, ny))
            )
            pairs.append((along_y, along_x))
            outer = _reshaped(along_y[:, :, :1].transpose(2, 3) * along_x[:, :, :1], (0, 0, -1))
            hidden.append(torch.baddbmm(bias, outer, contracted))
        units = torch.cat(hidden, dim=2)
        of_hidden = torch.where(units > 0, closed.output[:, 0], self._nothing)
        scores = torch.matmul(units.relu(), closed.output)[..., 0] + closed.offset
        found = []
        of_levels = of_hidden.split([weights.shape[2] for weights in closed.weights], dim=2)
        for contracted, of_own, across, (along_y, along_x) in zip(self._contracted, of_levels, self._across, pairs):
            of_outer = _reshaped(torch.matmul(of_own, contracted.transpose(1, 2)), (0, 0, -1, None), across)
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
        within, places, rise, bend, half_bend = self._cells
        at = ((places - start) * inverse).clamp_(0, 1)
        slope, lever = torch.matmul(at, bend), torch.matmul(at * at, half_bend)
        weights = torch.matmul(at, rise) + length * lever - (within - start) * slope
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
