"""The ascent of `ClosedFormHead` for a device that works at its own pace: few kernels, and nothing waits for it.

All levels are computed together, each with as many bins as the one with most. The integral of a cell's hat over a bin
and its derivatives are linear in s and s^2, where s says how far from one cell to the next a bin's border lies, from 0
to 1: matrices that are made once take the place of most of a step's small operations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import pad, threshold

from ltr.models.bbreg.box_head import LevelSettings
from ltr.models.bbreg.closed_form import MOST_CELLS, ClosedFormHead

# How far, over the geometric mean of a box's sides, the ascent may move a bin: beyond what was seen on real clips.
_ROOM = 0.3
# Of the weights of a bin: themselves, and their change by a shift and by a stretch.
_VARIANTS = 3


class _Tables(NamedTuple):
    """What all steps share, in one space and with windows of n cells around the R bins (level, axis, bin).

    A point stands for a box: (x, y, w, h, 1) itself in absolute space, (centre, log w, log h, 1) in relative space.

    lift: [5, 5 + S] logarithms of a point's box (centre, w, h, 1) and of its S scales (level, axis, variant), or the
        centre itself; in absolute space [5, 2 S], the scales' divisors and dividends.
    borders: [5, 2 R] start and end of a box's bins in cells.
    places: [5, 2 R (n + 1)] how far they lie from cells -1 ... n - 1 of a window at 0.
    mix: [2 * 2 R (n + 1), 3 R n] s and s^2 -> weights (level, axis, variant, bin, cell).
    last: [R] first cell of the last window on the map.
    within: [n] 0 ... n - 1.
    """

    lift: Tensor
    borders: Tensor
    places: Tensor
    mix: Tensor
    last: Tensor
    within: Tensor


class Recorded:
    """A function of tensors on an NVIDIA GPU as CUDA graphs, whose kernels are replayed by one launch.

    It is recorded for every set of shapes, when that comes for the third time: recording takes a few runs, and the
    memory of all that is computed stays taken.

    Args:
        function: does the same whatever the values are, and nothing that the host waits for.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        self._function = function
        self._graphs: dict[tuple[torch.Size, ...], Callable[..., tuple[Tensor, ...]]] = {}
        self._seen: Counter[tuple[torch.Size, ...]] = Counter()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the function gives."""
        shapes = tuple(each.shape for each in inputs)
        self._seen[shapes] += 1
        if self._seen[shapes] < 3:
            return self._function(*inputs)
        if shapes not in self._graphs:
            # A graph reads its inputs where these copies are, and writes what it gives to the same place every time.
            held = tuple(each.clone() for each in inputs)
            self._graphs[shapes] = cast(Any, torch.cuda.make_graphed_callables)(self._function, held)
        return tuple(each.clone() for each in self._graphs[shapes](*inputs))


class DeviceAscent:
    """The ascent of a `ClosedFormHead`, with its weights, on its device.

    Args:
        closed: prepared for the box head.
        recorded: as CUDA graphs.
    """

    def __init__(self, closed: ClosedFormHead, recorded: bool = False) -> None:
        self.closed, self._recorded = closed, recorded
        self._records: dict[tuple[Any, ...], Recorded] = {}
        self._levels = [level.settings for level in closed.levels]
        self._bins = max(level.bins for level in self._levels)
        outputs = [weights.shape[2] for weights in closed.weights]
        like = closed.output
        self._bias, self._output = (like.new_zeros(len(outputs), 1, max(outputs)) for _ in range(2))
        for level, (bias, output) in enumerate(zip(closed.biases, like[:, 0].split(outputs))):
            self._bias[level, :, : len(output)] = bias[0]
            self._output[level, 0, : len(output)] = output
        centre = torch.eye(5)
        centre[2, 0] = centre[3, 1] = 0.5
        self._to_centre, self._to_corner = centre.to(like), centre.inverse()[:, :4].to(like)
        self._made: dict[tuple[bool, int, tuple[torch.Size, ...]], _Tables] = {}
        self._backs: dict[tuple[float, float], Tensor] = {}
        self._images: dict[int, Tensor] = {}

    def cells(self, starts: Tensor) -> int:
        """Cells along an axis of windows that give boxes room; where the boxes lie does not matter.

        Args:
            starts: [N, M, 4] (x, y, w, h) in crop pixels, on the host.
        """
        corner, size = starts.double().split(2, dim=2)
        room = 2 * _ROOM * float(size.clamp(min=0).prod(2).sqrt().amax())
        span = 0.0
        for level in self._levels:
            parts = torch.arange(level.bins + 1)[:, None, None, None] / level.bins
            borders = corner + parts * size
            reach = float((borders[1:].amax(2) - borders[:-1].amin(2)).amax())
            span = max(span, (reach + room) / level.stride)
        # Few sizes, since each has tables of its own.
        return min(2 * math.ceil(span / 2) + 2, MOST_CELLS) if math.isfinite(span) else MOST_CELLS

    @torch.no_grad()
    def ascend(
        self,
        features: Sequence[Tensor],
        starts: Tensor,
        cells: int,
        *,
        steps: int,
        step_length: float | tuple[float, float],
        space: str = "relative",
        decay: float = 1.0,
        normalise_size: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`ClosedFormHead.ascend` of boxes that keep to their windows.

        Args:
            features: from `features`.
            starts: [N, M, 4] (x, y, w, h) in crop pixels, on the device.
            cells: from `cells`.
            steps: one at least.
            step_length, space, decay: as for `gradient_ascent`.
            normalise_size: [N, 1, 2] as there, or None.

        Returns:
            (boxes [N, M, 4], scores [N, M], kept [N]). Where `kept` is false, boxes left their windows: theirs mean
            nothing.
        """
        images, count, levels = *starts.shape[:2], len(self._levels)
        relative = space == "relative"
        tables = self._tables(relative, cells, tuple(each.shape[2:] for each in features))
        points = pad(starts, (0, 1), value=1.0)
        points = points @ self._to_centre if relative else points
        first = self._first(points, tables)
        contracted = self._contracted(features, first, tables)
        places = tables.places.repeat(images, 1, 1)
        places[:, 4].unflatten(1, (first.shape[1], -1)).sub_(first[..., None])
        back = self._back(step_length).expand(images, -1, -1)
        if relative:
            points[..., 2:4].log_()
            unit = starts[:, :1, 2:] if normalise_size is None else normalise_size
            back = back * pad(unit.square(), (0, 3), value=1.0)
        bias = self._bias.expand(images, -1, -1, -1).reshape(images * levels, 1, -1)
        output = self._output.expand(images, -1, count, -1)

        boxes, hidden, slope = [], bias, output
        for step in range(steps):
            box, scales = _lifted(points, tables.lift, relative)
            boxes.append(box)
            along_x, along_y = self._weights(box, scales, places, tables).unbind(1)
            outer = along_y[:, 0, :, None] * along_x[:, 0, None, :]
            hidden = torch.baddbmm(bias, outer.view(images * levels, count, -1), contracted)
            hidden = hidden.view(images, levels, count, -1)
            # The output's weights where the hidden unit is active.
            slope = torch.ops.aten.threshold_backward(output, hidden, 0)
            of_outer = torch.bmm(slope.reshape(images * levels, count, -1), contracted.mT).view(outer.shape)
            found = torch.bmm(along_y, torch.bmm(of_outer, along_x.mT)).view(images, levels, count, -1)
            for level in range(levels):
                points = torch.baddbmm(points, found[:, level], back, alpha=decay**step)
        scores = (slope * hidden).sum((1, 3)) + self.closed.offset
        kept = self._kept(torch.stack(boxes), first, tables)
        if relative:
            return _lifted(points, tables.lift[:, :5], relative)[0] @ self._to_corner, scores, kept
        return points[..., :4], scores, kept

    def refine(
        self,
        modulation: Sequence[Tensor],
        layers: Sequence[Tensor],
        starts: Tensor,
        cells: int,
        *,
        normalise_size: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, ...]:
        """`ascend` from the backbone's layers; arguments as for `features` and there."""

        def whole(*inputs: Tensor) -> tuple[Tensor, ...]:
            *maps, points, unit = inputs
            made = self.features(maps[: len(self._levels)], maps[len(self._levels) :])
            return self.ascend(made, points, cells, normalise_size=unit, **options)

        refine: Callable[..., tuple[Tensor, ...]] = whole
        if self._recorded:
            refine = self._records.setdefault((cells, *sorted(options.items())), Recorded(whole))
        return refine(*modulation, *layers, starts, starts[:, :1, 2:] if normalise_size is None else normalise_size)

    def features(self, modulation: Sequence[Tensor], layers: Sequence[Tensor]) -> list[Tensor]:
        """What boxes are pooled from, [N, C, H, W] a level; arguments as for `ClosedFormHead.refine`."""
        made = (convolutions(layer) for convolutions, layer in zip(self.closed.convolutions, layers))
        return [feature * weights[..., None, None] for feature, weights in zip(made, modulation)]

    def _first(self, points: Tensor, tables: _Tables) -> Tensor:
        """First cells [N, R], whole numbers, of windows in the middle of where the starts [N, M, 5] have their bins."""
        borders = (points @ tables.borders).unflatten(2, (-1, 2))
        middle = torch.lerp(borders[..., 0].amin(1), borders[..., 1].amax(1), 0.5)
        return (middle - (len(tables.within) - 1) / 2).round_().long().clamp_(min=0).minimum(tables.last)

    def _kept(self, boxes: Tensor, first: Tensor, tables: _Tables) -> Tensor:
        """Whether [N] all bins of boxes [T, N, M, 5] lay in their windows; what lies beyond the map is at its end."""
        reach = len(tables.within) - 1
        borders = (boxes @ tables.borders).unflatten(3, (-1, 2)).clamp_(min=0)
        placed = borders.minimum((tables.last + reach)[:, None]) - first[:, None, :, None]
        return (placed != placed.clamp(0, reach)).sum((0, 2, 3, 4)) == 0

    def _weights(self, box: Tensor, scales: Tensor, places: Tensor, tables: _Tables) -> Tensor:
        """Weights [N * levels * M, axis, variant, bins * n] of boxes [N, M, 5]."""
        images, count = box.shape[:2]
        distance = torch.bmm(box, places).flatten(0, 1)
        s = torch.empty_like(distance[:, None].expand(-1, 2, -1))
        torch.clamp(distance, 0, 1, out=s[:, 0])
        torch.mul(s[:, 0], s[:, 0], out=s[:, 1])
        weights = (s.flatten(1) @ tables.mix).view(images, count, len(self._levels), 2, _VARIANTS, -1)
        # A level's boxes lie together, for the products of all of them.
        scaled = weights.new_empty(images, len(self._levels), count, *weights.shape[3:])
        torch.mul(weights, scales.view(*weights.shape[:5], 1), out=scaled.transpose(1, 2))
        return scaled.flatten(0, 2)

    def _contracted(self, features: Sequence[Tensor], first: Tensor, tables: _Tables) -> Tensor:
        """Features times the first layer's weights in all windows, [N * levels, (bins * n)^2, outputs]."""
        images, cells = len(first), len(tables.within)
        if images not in self._images:
            self._images[images] = torch.arange(images).to(first.device)
        windows = first.view(images, len(features), 2, -1, 1) + tables.within
        made = self._output.new_zeros(
            images, len(features), self._bins, cells, self._bins, cells, self._output.shape[2]
        )
        for level, (feature, weights) in enumerate(zip(features, self.closed.weights)):
            bins, (height, width) = self._levels[level].bins, feature.shape[2:]
            along_x, along_y = windows[:, level, :, :bins].permute(1, 2, 0, 3)
            along_y = (along_y + self._images[images][:, None] * height) * width
            at = (along_y[:, None, :, :, None] + along_x[None, :, :, None, :]).flatten()
            flat = feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])
            product = torch.bmm(flat.index_select(0, at).view(bins**2, -1, feature.shape[1]), weights)
            product = product.view(bins, bins, images, cells, cells, -1).permute(2, 0, 3, 1, 4, 5)
            made[:, level, :bins, :, :bins, :, : weights.shape[2]] = product
        return made.view(images * len(features), -1, made.shape[-1])

    def _back(self, step_length: float | tuple[float, float]) -> Tensor:
        """A point's step [9, 5] from the products of the variants along y with those along x, in pixels."""
        centre, size = step_length if isinstance(step_length, tuple) else (step_length, step_length)
        if (centre, size) not in self._backs:
            back = torch.zeros(_VARIANTS, _VARIANTS, 5, dtype=torch.float64)
            back[0, 1, 0] = back[1, 0, 1] = centre
            back[0, 2, 2] = back[2, 0, 3] = size
            # The mean over a longer bin is less of the same integral.
            back[0, 0, 2:4] = -size
            self._backs[centre, size] = back.flatten(0, 1).to(self.closed.output)
        return self._backs[centre, size]

    def _tables(self, relative: bool, cells: int, maps: tuple[torch.Size, ...]) -> _Tables:
        cells = min(cells, *(side for sides in maps for side in sides))
        key = (relative, cells, maps)
        if key not in self._made:
            made = _made(self._levels, self._bins, relative, cells, maps)
            like = self.closed.output
            self._made[key] = _Tables(*(each.to(like if each.is_floating_point() else like.device) for each in made))
        return self._made[key]


class FrameAscent:
    """`gradient_ascent` on the energies of one frame's targets, without a wait.

    Attributes:
        waiting: the same by `ClosedFormHead`, which waits for the device.
        kept: [N] whether the boxes of the last ascent kept to their windows; None before there was one, or where it
            needs no windows.

    Args:
        ascent: of the box head.
        waiting: `ClosedFormHead.refine` with modulation and layers given.
        starts: [N, M, 4] (x, y, w, h) of about the size and spread of those to come, on the host.
    """

    def __init__(self, ascent: DeviceAscent, waiting: partial[tuple[Tensor, Tensor]], starts: Tensor) -> None:
        self._ascent, self.waiting, self._cells = ascent, waiting, ascent.cells(starts)
        self.kept: Tensor | None = None

    def __call__(
        self, boxes: Tensor, *, steps: int, per_box_step_control: bool = False, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Boxes and scores; arguments as for `gradient_ascent`. With step control it waits."""
        if steps == 0:
            return boxes, self._ascent.closed.head.score(self._ascent.features(*self.waiting.args), boxes)
        if per_box_step_control:
            return self.waiting(boxes, steps=steps, per_box_step_control=True, **options)
        modulation, layers = self.waiting.args
        boxes, scores, self.kept = self._ascent.refine(modulation, layers, boxes, self._cells, steps=steps, **options)
        return boxes, scores


def _lifted(points: Tensor, lift: Tensor, relative: bool) -> tuple[Tensor, Tensor]:
    """The boxes [N, M, 5] of points [N, M, 5], and their scales [N, M, S]."""
    lifted = points @ lift
    if relative:
        lifted[..., 2:].exp_()
        return lifted[..., :5], lifted[..., 5:]
    divisors, dividends = lifted.chunk(2, dim=2)
    # An empty box has no weights.
    return points, dividends / threshold(divisors, torch.finfo(lifted.dtype).tiny ** 0.5, math.inf)


def _made(
    levels: Sequence[LevelSettings], most: int, relative: bool, cells: int, maps: Sequence[Sequence[int]]
) -> _Tables:
    """The tables of windows of so many cells on maps (height, width), for at most so many bins along an axis."""
    shape = (len(levels), 2, most)
    scales = torch.zeros(2, 5, len(levels), 2, _VARIANTS, dtype=torch.float64)
    borders = torch.zeros(5, *shape, 2, dtype=torch.float64)
    last = torch.zeros(shape, dtype=torch.long)
    mix = torch.zeros(2, *shape, 2, cells + 1, len(levels), 2, _VARIANTS, most, cells, dtype=torch.float64)
    cell = torch.arange(cells)
    for number, level in enumerate(levels):
        for axis in (0, 1):
            last[number, axis, : level.bins] = maps[number][1 - axis] - cells
            pixels = (level.bins * level.stride, level.bins)
            if relative:
                scales[0, 4, number, axis, :2] = torch.tensor(pixels, dtype=torch.float64).log()
                scales[0, 2 + axis, number, axis, :2] = -1
            else:
                scales[0, 2 + axis, number, axis] = torch.tensor([1 / pixels[0], 1, 1], dtype=torch.float64)
                scales[1, 4, number, axis, 0] = 1
                scales[1, 2 + axis, number, axis, 1:] = torch.tensor([pixels[1], 1.0])
            for bin_ in range(level.bins):
                for end, sign in ((0, -1), (1, 1)):
                    # Where in a box the border is, in bins, and where from what a point says of its place.
                    place = bin_ + end - (level.bins / 2 if relative else 0)
                    border = borders[:, number, axis, bin_, end]
                    border[axis], border[2 + axis] = 1 / level.stride, place / pixels[0]
                    border[4] = -level.offset / level.stride
                    of_s, of_square = mix[:, number, axis, bin_, end, :, number, axis, :, bin_]
                    # The hat's integral up to the border is s^2 / 2 before its peak, and 1/2 + s - s^2 / 2 after it.
                    of_square[cell, 0, cell] = sign / 2
                    of_square[cell + 1, 0, cell] = -sign / 2
                    of_s[cell + 1, 0, cell] = sign
                    for variant, factor in ((1, sign), (2, sign * place)):
                        of_s[cell, variant, cell] = factor
                        of_s[cell + 1, variant, cell] = -factor
    lift = scales.flatten(2)
    if relative:
        box = torch.eye(5, dtype=torch.float64)
        box[4, 4] = 0
        lift = torch.cat([box, lift[0]], dim=1)
    else:
        lift = torch.cat([lift[0], lift[1]], dim=1)
    places = borders[..., None].expand(*borders.shape, cells + 1).clone()
    places[4] += 1 - torch.arange(cells + 1)
    mix = mix.view(2 * borders[0].numel() * (cells + 1), -1)
    return _Tables(lift, borders.flatten(1), places.flatten(1), mix, last.flatten(), cell)
