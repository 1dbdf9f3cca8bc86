"""Where on the score maps the targets are, and how far to trust them: peaks, distractors, flags (after ATOM)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
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
        finite: [N] 1 where the map holds finite values only; elsewhere 0, no peak means anything, and the flag is
            'not_found'.
    """

    cell: Tensor
    score: Tensor
    flag: Tensor
    finite: Tensor

    @cached_property
    def found(self) -> Tensor:
        """[N] whether there is a target."""
        return self.flag != NOT_FOUND

    @property
    def teaches(self) -> Tensor:
        """[N] whether there is a target that is sure enough to learn from."""
        return self.flag <= HARD_NEGATIVE

    def rows(self) -> Tensor:
        """[N, 5] float32: cell, score, flag, finite."""
        return torch.cat([self.cell, self.score[:, None], self.flag[:, None], self.finite[:, None]], dim=1)

    @classmethod
    def from_rows(cls, rows: Tensor) -> Localisation:
        """What `rows` was made of."""
        return cls(rows[:, :2], rows[:, 2], rows[:, 3].long(), rows[:, 4])


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
    height, width = scores.shape[1:]
    first, first_score = _peak(scores)
    others = _without_neighbourhood(scores, first, thresholds.target_neighborhood_scale * target_cells)
    second, second_score = _peak(others)
    cells = torch.stack([first, second], dim=1)
    away = from_centre(cells, height, width) - previous[:, None]
    lowest = scores.flatten(1).amin(dim=1)
    values = torch.cat(
        [first_score[:, None], second_score[:, None], away.square().sum(dim=2).sqrt(), lowest[:, None]], dim=1
    )
    # Thresholds are compared in float64, which holds them and the float32 scores exactly as they are written.
    limits = (
        thresholds.distractor_threshold,
        thresholds.hard_negative_threshold,
        thresholds.target_not_found_threshold,
        thresholds.displacement_scale * math.sqrt(height * width) / 2,
    )
    factors, bounds, bits, verdicts = _rules(limits, scores.device)
    met = (values.double()[:, None] * factors).sum(dim=2) > bounds
    flag, finite, taken = verdicts[(met * bits).sum(dim=1)].unbind(1)
    cell = cells.gather(1, taken[:, None, None].expand(-1, 1, 2))[:, 0]
    return Localisation(cell, first_score, flag, finite)


@lru_cache(16)
def _rules(limits: tuple[float, float, float, float], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The decision as tables, since on a device each comparison would be a kernel of its own.

    Args:
        limits: thresholds of a distractor, of a hard negative, of a target, and of a large displacement in cells.

    Returns:
        Factors [9, 5] of (first peak, second peak, displacement of each, lowest score), and what [9] their sums are
        compared with; the bit [9] of each comparison; and by what they make together, [512, 3]: flag, whether all is
        finite, and which of the two peaks is taken.
    """
    distractor, hard_negative, target, far = limits
    # A value that is not finite makes all sums NaN, and all comparisons false, the last one, too.
    factors = np.zeros((9, 5))
    bounds = np.array([0.0, 0.0, target, far, far, -far, -far, -target, -1.0])
    factors[0, :2], factors[1, :2] = (-distractor, 1), (-hard_negative, 1)
    for rule, (value, sign) in enumerate([(1, 1), (2, 1), (3, 1), (2, -1), (3, -1), (0, -1)], start=2):
        factors[rule, value] = sign
    bits = 2 ** np.arange(9)
    met = (np.arange(512)[:, None] & bits) != 0
    is_distractor, strong, high, first_far, second_far, first_near, second_near, low, finite = met.T
    # Between two peaks of about the same height, the one near the previous position if the other is far from it.
    take_first = is_distractor & second_far & first_near
    take_second = is_distractor & first_far & second_near
    flag = np.where(strong & high & ~is_distractor | take_first | take_second, HARD_NEGATIVE, NORMAL)
    flag[is_distractor & ~take_first & ~take_second] = UNCERTAIN
    lost = low | ~finite
    flag[lost] = NOT_FOUND
    verdicts = np.stack([flag, finite, take_second & ~lost], axis=1)
    made = [torch.from_numpy(each).to(device) for each in (factors, bounds, bits, verdicts)]
    return made[0], made[1], made[2], made[3]


@lru_cache(16)
def _cells(height: int, width: int, device: torch.device) -> Tensor:
    """(row, column) of the cells of a map in reading order, [height * width, 2] float32."""
    return torch.from_numpy(np.indices((height, width), np.float32).reshape(2, -1).T.copy()).to(device)


def from_centre(cell: Tensor, height: int, width: int) -> Tensor:
    """Displacement [..., 2] (y, x) of cells [..., 2] from the centre of a map of height x width cells, in cells."""
    if height == width:
        return cell - (height - 1) / 2
    return torch.stack([cell[..., 0] - (height - 1) / 2, cell[..., 1] - (width - 1) / 2], dim=-1)


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
    return _cells(scores.shape[1], scores.shape[2], scores.device)[index], value


def _without_neighbourhood(scores: Tensor, cells: Tensor, sides: Tensor) -> Tensor:
    """The maps with a rectangle of the given sides [N, 2] (rows, columns) around cells [N, 2] set to zero."""
    # In float64, where the sums are exact: half a cell more or less decides how a border is rounded.
    half = (sides / 2).double()
    low, high = (cells - half).round_(), (cells + half).add_(1).round_()
    places = _cells(scores.shape[1], scores.shape[2], scores.device)
    inside = ((places >= low[:, None]) & (places < high[:, None])).all(dim=2)
    return scores.masked_fill(inside.view(scores.shape), 0)
