"""A DiMP tracker as ONNX graphs, for programs without Python: the first frame, a frame, and learning.

The graphs hold weights and settings. What they take and give is listed in `INPUTS` and `OUTPUTS`, and described by
`python -m pytracking export --help`. They keep nothing from frame to frame: the program does (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltr.admin.files import whole_file
from ltr.errors import UserError
from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.bbreg.windowed_energy import Cells, Windowed
from ltr.models.export import as_onnx
from ltr.models.tracking.dimpnet import DiMPNet
from pytracking.features.augmentation import augment_first_frame, drop_feature_channels, expanded_size
from pytracking.tracker.dimp.dimp import DiMPTargets
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.answers import learning_rates, moved_to, trail_after
from pytracking.tracker.shared.geometry import SampleFrame, TargetState
from pytracking.tracker.shared.memory import weights_after
from pytracking.tracker.shared.refinement import propose, refine
from pytracking.tracker.shared.search import NO_TRAIL, Search

_MODULATION = ("modulation_0", "modulation_1")
INPUTS = {
    "init": ("image", "box"),
    "step": ("image", "target", "jitter", "weights", "stored", "filter", *_MODULATION),
    "learn": ("filter", "samples", "boxes", "weights"),
}
OUTPUTS = {
    "init": ("target", "filter", *_MODULATION, "samples", "boxes", "weights", "stored"),
    "step": ("box", "score", "flag", "next_target", "next_weights", "next_stored", "place", "sample", "sample_box"),
    "learn": ("next_filter",),
}
_CHANGING: dict[str, dict[int, str]] = {
    "image": {0: "height", 1: "width"},
    **{key: {0: "n"} for key in ("samples", "boxes", "weights")},
}
_ROOM = 0.4


def write_tracker(params: DiMPParameters, network: DiMPNet, folder: Path, name: str) -> list[Path]:
    """Write `<name>_init.onnx`, `<name>_step.onnx` and `<name>_learn.onnx`.

    Args:
        params: the tracker's; with a seed, since the first frame's random numbers become constants.
        network: in eval mode.
        folder: made where it is not there.
        name: of the tracker, for the files.

    Returns:
        The files.

    Raises:
        UserError: parameters that no graph is made for, or the package `onnx` is missing.
    """
    if not params.use_iou_net or params.seed is None or params.box_uncertainty:
        raise UserError("graphs of a whole tracker want use_iou_net=True, box_uncertainty=False and a seed")
    tracker = _Deployed(replace(params, backend="torch", device="cpu", precision="fp32"), network)
    files = []
    for part, (function, example) in tracker.parts().items():
        model = as_onnx(
            _Function(function),
            tuple(example),
            # What `learn` takes of the memory is what is stored; `step` takes the weights of all places.
            {key: _CHANGING.get(key, {}) if part == "learn" or key == "image" else {} for key in INPUTS[part]},
            {key: {} for key in OUTPUTS[part]},
        )
        model.doc_string = f"{name}: {part}; see `python -m pytracking export --help`"
        files.append(folder / f"{name}_{part}.onnx")
        with whole_file(files[-1]) as temporary:
            temporary.write_bytes(model.SerializeToString())
    return files


class _Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        """What the function gives."""
        return self.function(*inputs)


class _Deployed(DiMPTargets):
    """The frames of one target as functions of tensors, which torch can write as graphs."""

    def __init__(self, params: DiMPParameters, network: DiMPNet) -> None:
        super().__init__(params, network)
        self._head = _GraphHead(self.net.bb_regressor)

    def parts(self) -> dict[str, tuple[Callable[..., Any], Sequence[Tensor]]]:
        """The functions by name, and an example of the inputs of each."""
        image = torch.randint(0, 256, (240, 320, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        box = torch.tensor([130.0, 90, 50, 40])
        with torch.no_grad():
            target, filters, *modulation, samples, boxes, weights, stored = self.first(image, box)
        self._first_samples = len(samples)
        jitter = torch.zeros(self.params.num_init_random_boxes, 4)
        return {
            "init": (self.first, (image, box)),
            "step": (self.step, (image, target, jitter, weights, stored, filters, *modulation)),
            "learn": (self.learn, (filters, samples, boxes, weights[: len(samples)])),
        }

    def first(self, image: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        """What `add` learns of image [H, W, 3] and box [4]; see `OUTPUTS`."""
        params, size = self.params, self.params.image_sample_size
        assert params.seed is not None
        generator = torch.Generator().manual_seed(params.seed)
        extent = box[2:].flip(0)[None]
        scale = (extent * params.search_area_scale).prod(dim=1).sqrt() / size
        state = TargetState(box[:2].flip(0)[None] + (extent - 1) / 2, extent, scale)
        centre = state.position.round()
        patch_size = expanded_size(size, params.augmentation_expansion_factor if params.use_augmentation else 1)
        patch, _ = graph_patch(image, centre[0], scale[0] * patch_size, patch_size)
        samples, shifts = augment_first_frame(patch, size, self._augmentation, params.random_shift_factor, generator)
        boxes = SampleFrame(centre, scale, size).box_of(state) + functional.pad(shifts.flip(1), (0, 2))
        layers, features = self._extract(samples)
        self._feature_size = int(features.shape[-1])
        kept = drop_feature_channels(torch.ones(1, int(features.shape[1]), 1, 1), self._augmentation, generator).numpy()
        if len(kept):
            features = torch.cat([features, features[:1] * torch.from_numpy(kept)])
            boxes = torch.cat([boxes, boxes[:1].expand(len(kept), -1)])
        filters, _ = self.net.classifier.get_filter(features[:, None], boxes[:, None], num_iter=params.net_opt_iter)
        modulation = self.net.bb_regressor.get_modulation([layer[:1] for layer in layers], boxes[:1])
        count = int(features.shape[0])
        weights = torch.tensor([1 / count] * count + [0.0] * (params.sample_memory_size - count))
        target = torch.cat([state.rows(), state.size / scale[:, None], torch.from_numpy(NO_TRAIL)], dim=1)
        return target, filters, *modulation, features, boxes, weights, torch.tensor([count, -1])

    def step(
        self,
        image: Tensor,
        target: Tensor,
        jitter: Tensor,
        weights: Tensor,
        stored: Tensor,
        filters: Tensor,
        *modulation: Tensor,
    ) -> tuple[Tensor, ...]:
        """What `track` finds and would remember; see `INPUTS` and `OUTPUTS`."""
        params, size = self.params, self.params.image_sample_size
        state, base_size, trail = TargetState.from_rows(target[:, :5]), target[:, 5:7], target[:, 7:]
        offset = (self._feature_size + self._filter_size) % 2 * (size / (2 * self._feature_size))
        centre = state.position + offset * state.scale[:, None]
        crop, shown = graph_patch(
            image, centre[0], state.scale[0] * size, size, params.border_mode, params.patch_max_scale_change
        )
        image_size = torch._shape_as_tensor(image)[None, :2].float()
        frame = SampleFrame.from_coordinates(shown, size)
        sides = self._score_side, self._feature_size
        search = Search(state, frame, base_size, base_size, image_size, trail, jitter[None], *sides)
        layers, features = self._extract(crop)
        self.filters.data = filters
        scores = self._score_maps(self._slots([0]), features)
        found = self._localise(scores, search)
        moved = moved_to(found.cell, search, params).where(found.found, state)
        starts = propose(frame.box_of(moved), search.jitter, params)
        boxes, fair = refine(partial(self._head.refine, modulation, layers), starts, params)
        moved = frame.state_of(boxes, base_size).where(fair & found.found, moved)
        teaches = found.teaches if params.update_classifier else torch.zeros_like(found.teaches)
        weights, count, newest, place = weights_after(
            weights[None],
            stored[:1],
            stored[1:],
            learning_rates(found.flag, params),
            teaches,
            first=self._first_samples,
            minimum=params.init_samples_minimum_weight,
        )
        return (
            moved.boxes()[0],
            found.score[0],
            found.flag[0],
            torch.cat([moved.rows(), base_size, trail_after(found, search, moved)], dim=1),
            weights[0],
            torch.cat([count, newest]),
            place[0],
            features[0],
            frame.box_of(moved)[0],
        )

    def learn(self, filters: Tensor, samples: Tensor, boxes: Tensor, weights: Tensor) -> Tensor:
        """The filter [1, C, K, K] after one more iteration on n samples."""
        improved, _ = self.net.classifier.filter_optimizer(
            filters, samples[:, None], boxes[:, None], sample_weight=weights[:, None], num_iter=1
        )
        return improved


class _GraphHead(ClosedFormHead):
    """One whose windows a graph can work out: with the most room from the start, on whole maps, in one ascent."""

    def _ascend(
        self,
        maps: Sequence[Tensor],
        modulation: Sequence[Tensor] | None,
        starts: Tensor,
        *,
        normalise_size: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor]:
        start, length = (starts @ self.spread + self.origin).chunk(2, dim=-1)
        end = start + length
        strides: list[float] = []
        cells: list[int] = []
        for level, each in zip(self.levels, maps):
            strides += [level.settings.stride] * (2 * level.settings.bins)
            cells += [int(each.shape[3])] * level.settings.bins + [int(each.shape[2])] * level.settings.bins
        slack = _ROOM * starts[..., 2:].prod(-1).sqrt().amax(1)[:, None] / torch.tensor(strides)
        low, high = start.amin(1) - slack, end.amax(1) + slack
        count = ((high.ceil() - low.floor()).max() + 1).clamp(max=min(cells)).long()
        first = ((low + high - (count - 1)) / 2).round().long()
        first = torch.minimum(first.clamp(min=0), torch.tensor(cells) - count)
        within = _count(torch.tensor(0), count)
        along = [
            first[:, row : row + 2 * level.settings.bins, None].add(within).chunk(2, dim=1)
            for row, level in zip(self.rows, self.levels)
        ]
        columns, lines = zip(*along)
        shift = self.origin - functional.pad(first, (0, first.shape[1]))
        parts = [functional.pad(each, [reach] * 4) for reach, each in zip(self.reach, maps)]
        edges = [layers[1].kernel_size[0] // 2 for layers in self.layers]
        inside = [functional.pad(torch.ones_like(each[:, :1]), [edge] * 4) for edge, each in zip(edges, maps)]
        unit = starts[:, :1, 2:] if normalise_size is None else normalise_size
        windowed = Windowed(parts, inside, modulation, columns, lines, shift[:, None], Cells.of(within.to(self.output)))
        boxes, scores, _ = self.climb(windowed, starts, unit, **options)
        return boxes, scores


def graph_patch(
    image: Tensor,
    position: Tensor,
    side: Tensor,
    size: int,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`ltr.ops.crops.sample_patch` of a square, where all but the patch's size is found in the graph.

    Args:
        image: [H, W, 3] uint8.
        position: [2] (y, x) of the centre in the image.
        side: [] of the square in image pixels, float32.
        size: side of the patch in pixels.
        border_mode, max_scale_change: as there.

    Returns:
        The patch [1, 3, size, size] in 0..255, and what it shows, [1, 4] (top, left, bottom, right).
    """
    image_size = torch._shape_as_tensor(image)[:2]
    extent = side.expand(2)
    if border_mode != "replicate":
        ratio = extent / image_size.float()
        shrink = ratio.max() if border_mode == "inside" else ratio.min()
        extent = _whole(extent / shrink.clamp(min=1, max=max_scale_change))
    # From here on whole and half numbers, exact in float64.
    factor = _whole((extent / size).min().double() - 0.1).clamp(min=1)
    whole = _whole(position.double())
    start = (whole / factor).floor()
    phase = whole - start * factor
    cells = ((image_size.double() - phase) / factor).ceil()
    count = (extent / factor.float()).round().clamp(min=2).double()
    low, high = start - (count - 1) / 2, start + count / 2 + 1
    if border_mode != "replicate":
        shift = (-low).clamp(min=0) - (high - cells).clamp(min=0)
        low, high = low + shift, high + shift
        outside = (((-low).clamp(min=0) + (high - cells).clamp(min=0)) / 2).floor()
        shift = torch.where(outside > 0, -low - outside, torch.zeros_like(low))
        low, high = low + shift, high + shift
    patch = image
    for axis in (0, 1):
        inside = _count(low[axis].long(), high[axis].long()).clamp(min=0)
        inside = torch.minimum(inside, (cells[axis] - 1).long())
        patch = patch.index_select(axis, inside * factor.long() + phase[axis].long())
    patch = functional.interpolate(
        patch.permute(2, 0, 1)[None].float(), size=[size, size], mode="bilinear", align_corners=False
    )
    # The shape is said once more, because the exporter loses it.
    return patch.reshape(1, 3, size, size), (torch.cat([low, high]) * factor).float()[None]


def _count(first: Tensor, end: Tensor) -> Tensor:
    """The whole numbers from `first` up to `end`, both tensors so that they may change."""
    return torch.arange(first, end)  # type: ignore[call-overload]


def _whole(values: Tensor) -> Tensor:
    """Values without what is behind the point, which graphs have no other word for."""
    return values.long().to(values.dtype)
