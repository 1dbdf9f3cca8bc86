"""Pictures of what happens inside a frame: search region and proposals, score map, energy, memory weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pytracking.tracker.base import TrackResult
from pytracking.tracker.shared.memory import SampleMemory
from pytracking.tracker.shared.refinement import Ascend, RefinementParameters, climb
from pytracking.tracker.shared.search import Target
from pytracking.visualise import COLOURS, add_title, contact_sheet, draw_box, heat_map, rgb

_PANEL = 384
_POSITIONS = 33


def energy_over_position(ascend: Ascend, boxes: Tensor, side: int) -> Tensor:
    """The energies [N, 33, 33] (row, column) of boxes moved over the whole of their samples.

    Args:
        ascend: `gradient_ascent` on the energies of N targets.
        boxes: [N, 4] (x, y, w, h) in sample pixels.
        side: of the sample in pixels; grid cell k has its centre at (k + 1/2) / 33 of it.
    """
    places = (torch.arange(_POSITIONS, device=boxes.device) + 0.5) * (side / _POSITIONS)
    down, across = torch.meshgrid(places, places, indexing="ij")
    size = boxes[:, None, 2:]
    corners = torch.stack([across, down], dim=2).view(1, -1, 2) - size / 2
    moved = torch.cat([corners, size.expand_as(corners)], dim=2)
    scores = ascend(moved, space="relative", steps=0, step_length=0.0, normalise_size=size)[1]
    return scores.view(-1, _POSITIONS, _POSITIONS)


def draw_frame(
    sample: Tensor,
    box: Sequence[float],
    result: TrackResult,
    *,
    scores: Tensor,
    proposals: Tensor | None,
    energy: Tensor | None,
    weights: Tensor,
) -> np.ndarray:
    """The picture [H, W, 3], uint8 RGB, of one target's frame.

    Args:
        sample: [3, S, S] in 0..255, the search region.
        box: (x, y, w, h) of the answer in sample pixels.
        result: the answer.
        scores: [H, W] the score map.
        proposals: [2, M, 4] before and after refinement, in sample pixels; None where there was none.
        energy: [33, 33], of this target, from `energy_over_position`; None without refinement.
        weights: [n] of the samples in the memory.
    """
    pixels = sample.detach().cpu().clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
    region = cv2.resize(pixels, (_PANEL, _PANEL))
    larger = _PANEL / sample.shape[-1]
    plain = region.copy()
    for boxes, colour in zip([] if proposals is None else proposals.tolist(), (COLOURS[6], COLOURS[5])):
        for each in boxes:
            draw_box(region, [value * larger for value in each], colour, 1)
    answer = [value * larger for value in box]
    draw_box(region, answer, COLOURS[2], 2)
    add_title(region, "proposals: orange before, blue after; green the box")
    panels = [region, _heat(scores, f"score map, {result.score:.2f}, {result.flag}")]
    if energy is None:
        panels.append(np.full_like(plain, 48))
        add_title(panels[-1], "no refinement, no energy")
    else:
        title = f"energy over position, {energy.min():.1f} to {energy.max():.1f}"
        panels.append(cv2.addWeighted(plain, 0.4, _heat(energy, ""), 0.6, 0))
        draw_box(panels[-1], answer, COLOURS[2], 2)
        add_title(panels[-1], title)
    panels.append(_bars(weights))
    return contact_sheet([panels[:2], panels[2:]])


@dataclass(frozen=True)
class Seen:
    """What a frame of N targets leaves to be seen.

    Attributes:
        samples: [N, 3, S, S] in 0..255.
        scores: [N, H, W] score maps.
        starts: [N, M, 4] proposals (x, y, w, h) in sample pixels, from `propose`.
        boxes: [N, 4] the answers in sample pixels.
        ascend: `gradient_ascent` on the energies; None without a box head.
    """

    samples: Tensor
    scores: Tensor
    starts: Tensor
    boxes: Tensor
    ascend: Ascend | None

    def write(
        self,
        folder: Path,
        slots: Sequence[int],
        results: Mapping[int, TrackResult],
        memory: SampleMemory,
        targets: Mapping[int, Target],
        params: RefinementParameters,
    ) -> None:
        """Write `target<slot>_<frame>.png` for each target with a result; climbs again, to see where proposals end."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.ascend is not None:
            proposals = torch.stack([self.starts, climb(self.ascend, self.starts, params)[0]], dim=1)
            energies = energy_over_position(self.ascend, self.boxes, self.samples.shape[-1])
        for row, slot in enumerate(slots):
            if slot not in results:
                continue
            picture = draw_frame(
                self.samples[row],
                self.boxes[row].tolist(),
                results[slot],
                scores=self.scores[row],
                proposals=None if self.ascend is None else proposals[row],
                energy=None if self.ascend is None else energies[row],
                weights=memory.of(slot).stored[2],
            )
            _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            path = folder / f"target{slot}_{targets[slot].frame_number:04d}.png"
            path.write_bytes(encoded.tobytes())


def _heat(values: Tensor, title: str) -> np.ndarray:
    """A map [H, W] as a panel."""
    panel = heat_map(values.detach().float().cpu().numpy(), _PANEL)
    if title:
        add_title(panel, title)
    return panel


def _bars(weights: Tensor) -> np.ndarray:
    """Weights [n] as bars in the order of the memory's places."""
    panel = np.full((_PANEL, _PANEL, 3), 255, np.uint8)
    heights = weights.detach().cpu() / weights.max().clamp(min=1e-12)
    width = _PANEL / max(len(heights), 1)
    for place, height in enumerate(heights.tolist()):
        left, right = round(place * width), round((place + 1) * width) - 2
        top = round(_PANEL - height * (_PANEL - 30))
        cv2.rectangle(panel, (left, top), (max(left, right), _PANEL), rgb(COLOURS[1]), cv2.FILLED)
    add_title(panel, f"memory weights of {len(heights)} samples, up to {weights.max():.3f}")
    return panel
