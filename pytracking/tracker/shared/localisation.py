"""Where on the score maps the targets are, and how far to trust them: peaks, distractors, flags (after ATOM)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FLAGS = ("normal", "hard_negative", "uncertain", "not_found")
NORMAL, HARD_NEGATIVE, UNCERTAIN, NOT_FOUND = range(4)


@dataclass(frozen=True)
class LocalisationThresholds:
    """The thresholds of `localise`; names and defaults as in the public parameter files of DiMP.

    Attributes:
        target_not_found_threshold: a peak below this is no target.
        distractor_threshold: a second peak above this part of the first is a distractor that may be the target.
        hard_negative_threshold: a second peak above this part of the first is a hard negative.
        target_neighborhood_scale: side of the first peak's neighbourhood over the target's.
        displacement_scale: a displacement is large beyond this part of half the score map's side.
        displacement_penalty: part of its score that a peak loses at half the score map's side from where the target
            was; less where it is nearer, as a Hann window has it. Peaks are chosen and compared by what is left, and
            thresholds hold for it. 0 is the reference.
    """

    target_not_found_threshold: float = 0.25
    distractor_threshold: float = 0.8
    hard_negative_threshold: float = 0.5
    target_neighborhood_scale: float = 2.2
    displacement_scale: float = 0.8
    displacement_penalty: float = 0.0


@dataclass(frozen=True)
class Localisation:
    """What N score maps say, on the maps' device.

    Attributes:
        cell: [N, 2] (row, column) of the peaks that are taken for the targets, float32.
        score: [N] value of the highest peak, whichever is taken.
        flag: [N] index into `FLAGS`.
        finite: [N] whether the map holds finite values only; otherwise no peak means anything, and the flag is
            'not_found'.
    """

    cell: Tensor
    score: Tensor
    flag: Tensor
    finite: Tensor

    @property
    def found(self) -> Tensor:
        """[N] whether there is a target."""
        return self.flag != NOT_FOUND

    @property
    def teaches(self) -> Tensor:
        """[N] whether there is a target that is sure enough to learn from."""
        return self.flag <= HARD_NEGATIVE

    def rows(self) -> Tensor:
        """[N, 3] float32: score, flag, finite."""
        return torch.stack([self.score, self.flag.to(self.score), self.finite.to(self.score)], dim=1)


def localise(
    scores: Tensor, previous: Tensor, target_cells: Tensor, thresholds: LocalisationThresholds
) -> Localisation:
    """Find N targets, each on its score map (docs/reference.md, section 4), without waiting for the device.

    Args:
        scores: [N, H, W] score maps.
        previous: [N, 2] (y, x) of the targets before this frame, in cells from the map's centre.
        target_cells: [N, 2] (height, width) of the targets in cells.
        thresholds: see there.
    """
    if thresholds.displacement_penalty:
        scores = _penalised(scores, previous, thresholds.displacement_penalty)
    first, first_score = _peak(scores)
    others = _without_neighbourhood(scores, first, thresholds.target_neighborhood_scale * target_cells)
    second, second_score = _peak(others)

    # Thresholds are compared in float64, which holds them and the float32 scores exactly as they are written.
    height, width = scores.shape[1:]
    first_peak, second_peak = first_score.double(), second_score.double()
    limit = thresholds.displacement_scale * math.sqrt(height * width) / 2
    first_distance, second_distance = (
        (from_centre(cell, height, width) - previous).square().sum(dim=1).sqrt().double() for cell in (first, second)
    )
    # Between two peaks of about the same height, the one near the previous position if the other is far from it.
    distractor = second_peak > thresholds.distractor_threshold * first_peak
    take_first = distractor & (second_distance > limit) & (first_distance < limit)
    take_second = distractor & (first_distance > limit) & (second_distance < limit)
    strong = (second_peak > thresholds.hard_negative_threshold * first_peak) & (
        second_peak > thresholds.target_not_found_threshold
    )

    flag = (strong & ~distractor | take_first | take_second).long() * HARD_NEGATIVE
    flag = flag.masked_fill(distractor & ~take_first & ~take_second, UNCERTAIN)
    finite = scores.isfinite().flatten(1).all(dim=1)
    lost = (first_peak < thresholds.target_not_found_threshold) | ~finite
    flag = flag.masked_fill(lost, NOT_FOUND)
    cell = torch.where((take_second & ~lost)[:, None], second, first)
    return Localisation(cell, first_score, flag, finite)


def from_centre(cell: Tensor, height: int, width: int) -> Tensor:
    """Displacement [N, 2] (y, x) of cells [N, 2] from the centre of a map of height x width cells, in cells."""
    return torch.stack([cell[:, 0] - (height - 1) / 2, cell[:, 1] - (width - 1) / 2], dim=1)


def _penalised(scores: Tensor, previous: Tensor, penalty: float) -> Tensor:
    """Scores [N, H, W] less a part of the positive ones that grows with the distance from `previous` [N, 2] (y, x)."""
    height, width = scores.shape[1:]
    down, across = (torch.arange(side, device=scores.device) - (side - 1) / 2 for side in (height, width))
    distance = torch.hypot((down - previous[:, :1]).unsqueeze(2), (across - previous[:, 1:]).unsqueeze(1)) / (
        min(height, width) / 2
    )
    kept = 1 - penalty * torch.sin(math.pi / 2 * distance.clamp(max=1)).square()
    return torch.where(scores > 0, scores * kept, scores)


def _peak(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Cells [N, 2] (row, column) as float32, and values [N], of the maxima of maps [N, H, W]."""
    value, index = scores.flatten(1).max(dim=1)
    width = scores.shape[2]
    return torch.stack([index.div(width, rounding_mode="floor"), index % width], dim=1).float(), value


def _without_neighbourhood(scores: Tensor, cells: Tensor, sides: Tensor) -> Tensor:
    """The maps with a rectangle of the given sides [N, 2] (rows, columns) around cells [N, 2] set to zero."""
    # In float64, where the sums are exact: half a cell more or less decides how a border is rounded.
    half, centre = (sides / 2).double(), cells.double()
    low, high = (centre - half).round(), (centre + half + 1).round().clamp(min=0)
    inside = []
    for axis in (0, 1):
        place = torch.arange(scores.shape[axis + 1], device=scores.device)
        inside.append((place >= low[:, axis, None]) & (place < high[:, axis, None]))
    return scores.masked_fill(inside[0][:, :, None] & inside[1][:, None, :], 0)
