"""The ascent of boxes on the box head's energy with its gradient in closed form: batch norm folded, no autograd.

Pooling is linear in the features and so is the first layer: both are contracted once an image, over the few cells that
each bin can reach. A step then costs two small matrix products a level. `gradient_ascent` on `BoxHead.score` is the
readable reference, and what is fallen back on where boxes leave those cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ltr.ebm.ascent import gradient_ascent
from ltr.models.bbreg.box_head import BoxHead, LinearBlock
from ltr.models.bbreg.windowed_energy import Cells, Windowed, WindowedEnergy

# How far, over the geometric mean of a box's sides, the ascent may move a bin; with more, it starts again with more
# room. Real clips stay within 0.15 in nine frames of ten, and within 0.27 in all.
_ROOM = (0.15, 0.4)
# Cells along an axis of a bin's window; beyond, pooling each box again is quicker.
MOST_CELLS = 16


class _Windows(NamedTuple):
    """The cells that bins may reach, the R bins of all levels of a head: of each level first along x, then along y.

    They are few numbers, on the host, where a call of numpy costs less than one of torch.

    first: [N, R] the first cell.
    cells: number of cells of a level's windows along x and along y, one pair a level.
    low, high: [N, R] what a bin's start and end must stay within, in cells; infinite where the map ends.
    """

    first: np.ndarray
    cells: list[tuple[int, int]]
    low: np.ndarray
    high: np.ndarray


class _Part(NamedTuple):
    """A part of a level's features, or of the layer that they are made of.

    values, inside: see `Windowed`.
    left, top: [N] the first column and row of the part's features in the whole map.
    height: of the part's features.
    """

    values: Tensor
    inside: Tensor
    left: np.ndarray
    top: np.ndarray
    height: int


class ClosedFormHead(nn.Module):
    """The energy of a `BoxHead` in eval mode, prepared for the ascent.

    The weights are copies: prepare a head again after it has changed.

    Args:
        head: whose energy.

    Raises:
        ValueError: the head is in training mode, where batch norm is no fixed function.
    """

    # Parts of a layer are a multiple of so many cells wide: torch prepares a convolution again for every new size.
    part_granule = 4

    output: Tensor
    offset: Tensor
    spread: Tensor
    origin: Tensor
    numbers: Tensor
    back: Tensor

    def __init__(self, head: BoxHead) -> None:
        super().__init__()
        if head.training:
            raise ValueError("the box head is in training mode; call its eval() first")
        self.head = head
        self.levels = head.levels
        self.convolutions = nn.ModuleList(
            nn.Sequential(*map(_folded_block, level.convolutions)) for level in self.levels
        )
        self.layers = [
            [layer for layer in convolutions.modules() if isinstance(layer, nn.Conv2d)]
            for convolutions in self.convolutions
        ]
        # How many cells around a part of the features its convolutions need, a level.
        self.reach = [sum(layer.kernel_size[0] // 2 for layer in layers) for layers in self.layers]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for level in self.levels:
            for values, own in zip(_folded_linear(level.block, level.settings.bins), (self.weights, self.biases)):
                own.append(nn.Parameter(values, requires_grad=False))
        predictor = head.iou_predictor
        self.register_buffer("output", predictor.weight.detach().t().contiguous())
        self.register_buffer("offset", predictor.bias.detach().clone())
        # Start and length of every bin in cells are linear in the box, [4, 2R], from an origin [2R]. What a step finds
        # at each level, by weight, shift and stretch along y times those along x, gives the gradient in the box by
        # [9 a level, 4].
        self.rows: list[int] = []
        starts: list[list[float]] = []
        lengths: list[list[float]] = []
        numbers, back, origins = [], [], []
        for level in self.levels:
            self.rows.append(len(starts))
            shift, stretch = 1 / level.settings.stride, 1 / (level.settings.stride * level.settings.bins)
            for axis in (0, 1):
                for number in range(level.settings.bins):
                    starts.append([shift * (k == axis) + number * stretch * (k == axis + 2) for k in range(4)])
                    lengths.append([stretch * (k == axis + 2) for k in range(4)])
                    numbers.append([number])
                    origins.append(-level.settings.offset * shift)
            entries = {1: (0, shift), 2: (2, stretch), 3: (1, shift), 6: (3, stretch)}
            for column, value in (entries.get(pair, (0, 0.0)) for pair in range(9)):
                back.append([value * (k == column) for k in range(4)])
        self.register_buffer("spread", self.output.new_tensor(starts + lengths).t().contiguous())
        self.register_buffer("origin", self.output.new_tensor(origins + [0.0] * len(origins)))
        self._spread, self._origin = self.spread.cpu().numpy(), self.origin.cpu().numpy()
        strides = [1 / level.settings.stride for level in self.levels for _ in range(2 * level.settings.bins)]
        self._per_pixel = np.array(strides, np.float32)
        self.register_buffer("numbers", self.output.new_tensor(numbers))
        self.register_buffer("back", self.output.new_tensor(back))

    def ascend(self, features: Sequence[Tensor], boxes: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """What `gradient_ascent` finds on `BoxHead.score`, to rounding.

        Args:
            features: from `BoxHead.modulate`, [N, C, H, W] a level.
            boxes: [N, M, 4] the starts, (x, y, w, h) in crop pixels. Where the head's device computes at its own
                pace, keep them on the CPU: nothing waits then before the results come.
            options: as for `gradient_ascent`.

        Returns:
            (boxes [N, M, 4], scores [N, M]) where the starts are.
        """

        return self._ascend(features, None, boxes, **options)

    def refine(
        self, modulation: Sequence[Tensor], layers: Sequence[Tensor], boxes: Tensor, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """`ascend` from the backbone's layers, of which only what the boxes can reach is made into features.

        Args:
            modulation: from `BoxHead.get_modulation`, [N, C] a level.
            layers: as for `BoxHead.get_iou_feat`, [N, C, H, W] a level.
            boxes, options: as for `ascend`.
        """

        return self._ascend(layers, modulation, boxes, **options)

    def climb(
        self,
        windowed: Windowed,
        starts: Tensor,
        unit: Tensor,
        **options: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The ascent of boxes whose bins stay in their windows: all that a graph for another engine holds.

        Args:
            windowed: of the images.
            starts, unit, options: as for `gradient_ascent`; the unit of the centre as `normalise_size`.

        Returns:
            (boxes [N, M, 4], scores [N, M], all boxes that were scored [T, N, M, 4]).
        """
        features = windowed.parts
        if windowed.modulation is not None:
            made = map(self._features, range(len(self.levels)), windowed.parts, windowed.inside)
            features = [each * weights[..., None, None] for each, weights in zip(made, windowed.modulation)]
        energy = WindowedEnergy(self, features, windowed)
        boxes, scores = gradient_ascent(energy, starts, normalise_size=unit, **options)
        return boxes, scores, torch.stack(energy.visited)

    def _features(self, level: int, part: Tensor, inside: Tensor) -> Tensor:
        """What a level's convolutions make of a part of its layer, without what they reach around it (`Windowed`)."""
        first, second = self.layers[level]
        # What lies between them is zero beyond its ends, too.
        between = conv2d(part, first.weight, first.bias).relu() * inside
        return conv2d(between, second.weight, second.bias).relu()

    def _ascend(
        self,
        maps: Sequence[Tensor],
        modulation: Sequence[Tensor] | None,
        starts: Tensor,
        *,
        normalise_size: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor]:
        """The ascent of the images whose boxes keep to windows, with more and more room, then of the others."""
        home, device = starts.device, self.output.device
        starts = starts.detach()
        unit = starts[:, :1, 2:] if normalise_size is None else normalise_size.detach().expand(len(starts), -1, 2)
        images: Tensor | None = None
        visited = starts.unsqueeze(0)
        for room in _ROOM:
            windows = self._windows(visited, room, [each.shape[-2:] for each in maps])
            if windows is None:
                break
            chosen = [_of(each, images) for each in maps]
            weights = None if modulation is None else [_of(each, images) for each in modulation]
            parts = [self._part(level, each, windows, weights is None) for level, each in enumerate(chosen)]
            windowed = Windowed(
                [part.values for part in parts],
                [part.inside for part in parts],
                weights,
                *self._places(parts, windows),
                torch.from_numpy(self._shift(windows))[:, None].to(device),
                _cells(max(map(max, windows.cells)), self.output.dtype, device),
            )
            found = self.climb(windowed, _of(starts, images).to(device), _of(unit, images).to(device), **options)
            moved, reached, visited = (each.to(home) for each in found)
            within = self._within(visited, windows)
            if images is None:
                if within.all():
                    return moved, reached
                boxes, scores = starts.clone(), starts.new_zeros(starts.shape[:2])
                images = torch.arange(len(starts), device=home)
            kept = torch.from_numpy(within).to(home)
            boxes[images[kept]], scores[images[kept]] = moved[kept], reached[kept]
            images, visited = images[~kept], visited[:, ~kept]
            if len(images) == 0:
                return boxes, scores
        if images is None:
            boxes, scores = starts.clone(), starts.new_zeros(starts.shape[:2])
            images = torch.arange(len(starts), device=home)
        # Autograd keeps no tensors that were made for inference alone; copies made here are others.
        with torch.inference_mode(False), torch.no_grad():
            features: Sequence[Tensor] = [each[images.to(device)] for each in maps]
            if modulation is not None:
                weights = [each[images.to(device)] for each in modulation]
                features = self.head.modulate(weights, self.head.get_iou_feat(features))
            moved, reached = gradient_ascent(
                lambda points: self.head.score(features, points),
                starts[images].to(device),
                normalise_size=unit[images].to(device),
                **options,
            )
        boxes[images], scores[images] = moved.to(home), reached.to(home)
        return boxes, scores

    def _bins(self, boxes: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Start and end [..., R] of every bin of boxes [..., 4], in cells."""
        rows = boxes.cpu().numpy() @ self._spread + self._origin
        start = rows[..., : len(self._per_pixel)]
        return start, start + rows[..., len(self._per_pixel) :]

    def _windows(self, boxes: Tensor, room: float, maps: Sequence[Sequence[int]]) -> _Windows | None:
        """Windows for boxes [T, N, M, 4] that may move; None where they would be too large to pay."""
        start, end = self._bins(boxes)
        side = np.sqrt(boxes.cpu().numpy()[..., 2:].clip(0).prod(-1)).max((0, 2))
        slack = room * side[:, None] * self._per_pixel
        low, high = start.min((0, 2)) - slack, end.max((0, 2)) + slack
        spans = (np.ceil(high) - np.floor(low)).max(0).tolist()
        counts, sizes, cells = [], [], []
        for row, level, (height, width) in zip(self.rows, self.levels, maps):
            bins, pair = level.settings.bins, []
            for begin, size in ((row, width), (row + bins, height)):
                span = max(spans[begin : begin + bins]) + 1
                # A NaN is no span, and not below anything.
                if not span <= min(MOST_CELLS, size):
                    return None
                pair.append(int(span))
                counts += [int(span)] * bins
                sizes += [size] * bins
            cells.append((pair[0], pair[1]))
        ends = np.array(counts, low.dtype) - 1
        last = np.array(sizes, low.dtype) - 1 - ends
        first = np.minimum(((low + high - ends) / 2).round().clip(0), last)
        return _Windows(
            first.astype(np.int64),
            cells,
            np.where(first == 0, -np.inf, first),
            np.where(first == last, np.inf, first + ends),
        )

    def _within(self, boxes: Tensor, windows: _Windows) -> np.ndarray:
        """Whether [N] all bins of boxes [T, N, M, 4] kept to their windows; a box that is not finite did not."""
        start, end = self._bins(boxes)
        return np.asarray(((start >= windows.low[:, None]) & (end <= windows.high[:, None])).all((0, 2, 3)))

    def _part(self, level: int, values: Tensor, windows: _Windows, whole: bool) -> _Part:
        """What the test convolutions need of a layer [N, C, H, W] to make the features in a level's windows."""
        if whole:
            origin = np.zeros_like(windows.first[:, 0])
            return _Part(values, values[:0], origin, origin, values.shape[2])
        reach, edge = self.reach[level], self.layers[level][1].kernel_size[0] // 2
        origins, sizes, within = [], [], []
        for first, count, cells in zip(self._axes(level, windows), windows.cells[level], values.shape[:1:-1]):
            begin = first.min(1)
            size = int((first.max(1) - begin).max()) + count + 2 * reach
            size = min(-(-size // self.part_granule) * self.part_granule, cells + 2 * reach)
            origins.append(begin.clip(max=cells + 2 * reach - size))
            sizes.append(size)
            place = origins[-1][:, None] - edge + np.arange(size - 2 * (reach - edge))
            within.append((place >= 0) & (place < cells))
        (left, top), (width, height) = origins, sizes
        parts = []
        for n, (x, y) in enumerate(zip((left - reach).tolist(), (top - reach).tolist())):
            part = values[n : n + 1, :, max(y, 0) : y + height, max(x, 0) : x + width]
            beyond = max(-x, 0), max(x + width - values.shape[3], 0), max(-y, 0), max(y + height - values.shape[2], 0)
            parts.append(pad(part, beyond) if any(beyond) else part)
        inside = torch.from_numpy(within[1][:, None, :, None] & within[0][:, None, None, :]).to(values)
        return _Part(parts[0] if len(parts) == 1 else torch.cat(parts), inside, left, top, height - 2 * reach)

    def _places(self, parts: Sequence[_Part], windows: _Windows) -> tuple[list[Tensor], list[Tensor]]:
        """Columns [N, bins, nx] and lines [N, bins, ny] of the levels' windows in their parts; see `climb`."""
        columns: list[Tensor] = []
        lines: list[Tensor] = []
        for level, part in enumerate(parts):
            along_x, along_y = self._axes(level, windows)
            nx, ny = windows.cells[level]
            above = np.arange(len(along_y)) * part.height - part.top
            for found, place, count in (
                (columns, along_x - part.left[:, None], nx),
                (lines, along_y + above[:, None], ny),
            ):
                found.append(torch.from_numpy(place[..., None] + np.arange(count)).to(self.output.device))
        return columns, lines

    def _shift(self, windows: _Windows) -> np.ndarray:
        """[N, 2R]: a window's first cell is taken off the start of its bin, and nothing off its length (`Windowed`)."""
        taken = np.concatenate([windows.first, np.zeros_like(windows.first)], axis=1)
        return self._origin - taken.astype(self._origin.dtype)

    def _axes(self, level: int, windows: _Windows) -> tuple[np.ndarray, np.ndarray]:
        """First cells [N, bins] of a level's windows along x and along y."""
        row, bins = self.rows[level], self.levels[level].settings.bins
        return windows.first[:, row : row + bins], windows.first[:, row + bins : row + 2 * bins]


@lru_cache(64)
def _cells(count: int, dtype: torch.dtype, device: torch.device) -> Cells:
    """What is the same in all windows of so many cells."""
    # Made outside of inference mode, whose tensors could not be used elsewhere.
    with torch.inference_mode(False):
        return Cells.of(torch.arange(count, dtype=dtype, device=device))


def _of(values: Tensor, images: Tensor | None) -> Tensor:
    return values if images is None else values[images.to(values.device)]


def _folded_block(block: nn.Sequential) -> nn.Module:
    """Convolution and ReLU of a convolution, batch norm and ReLU."""
    convolution, norm = block[0], block[1]
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return nn.Sequential(fuse_conv_bn_eval(convolution, norm), nn.ReLU(inplace=True))


def _folded_linear(block: LinearBlock, bins: int) -> tuple[Tensor, Tensor]:
    """Weights [bins y * bins x, C, outputs] and bias [1, 1, outputs] of a linear layer and its batch norm."""
    norm = block.bn
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weights = (block.linear.weight * scale[:, None]).unflatten(1, (-1, bins, bins)).permute(2, 3, 1, 0)
    bias = (block.linear.bias - norm.running_mean) * scale + norm.bias
    return weights.detach().flatten(0, 1).contiguous(), bias.detach()[None, None]
