"""Where on the score maps the targets are, and how far to trust them: peaks, distractors, flags (after ATOM)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from pytracking.tracker.shared.geometry import Array, cast, library

FLAGS = ("normal", "hard_negative", "uncertain", "not_found")
NORMAL, HARD_NEGATIVE, UNCERTAIN, NOT_FOUND = range(4)
# A second peak that is worth remembering is higher than this part of the first, and reaches so far, in target sides.
_MATTERS = 0.3
_REACH = 0.8


@dataclass(frozen=True)
class LocalisationThresholds:
    """The thresholds of `localise`; names and defaults as in the public parameter files of DiMP.

    Attributes:
        target_not_found_threshold: a peak below this is no target.
        distractor_threshold: a second peak above this part of the first is a distractor that may be the target.
        hard_negative_threshold: a second peak above this part of the first is a hard negative.
        target_neighborhood_scale: side of the first peak's neighbourhood over the target's.
        displacement_scale: a displacement is large beyond this part of half the score map's side.
        displacement_penalty: part of its score that a peak loses far from where the target is expected; less where it
            is nearer, by a Gaussian. Peaks are chosen and compared by what is left. 0 is the reference.
        displacement_sigma: standard deviation of that Gaussian over the square root of the target's area.
        velocity_weight: part of the last displacement that is expected again.
        distractor_penalty: part of its score that a peak loses where it is rather the last frame's second peak, being
            nearer to that one's place than to the expected one. 0 is the reference.
    """

    target_not_found_threshold: float = 0.25
    distractor_threshold: float = 0.8
    hard_negative_threshold: float = 0.5
    target_neighborhood_scale: float = 2.2
    displacement_scale: float = 0.8
    displacement_penalty: float = 0.0
    displacement_sigma: float = 1.0
    velocity_weight: float = 0.0
    distractor_penalty: float = 0.0


@dataclass(frozen=True)
class Localisation:
    """What N score maps say, arrays of the maps' kind (`geometry.Array`).

    Attributes:
        cells: [N, 2, 2] (row, column) of the first and the second peak, float32.
        scores: [N, 2] value of the first peak, whichever is taken, and of the second less what it loses by penalties.
        taken: [N] which of the two is taken for the target, float32.
        flag: [N] index into `FLAGS`.
        finite: [N] 1 where the map holds finite values only; elsewhere 0, no peak means anything, and the flag is
            'not_found'.
    """

    cells: Array
    scores: Array
    taken: Array
    flag: Array
    finite: Array

    @property
    def score(self) -> Array:
        """[N] value of the first peak, whichever is taken."""
        return self.scores[:, 0]

    @cached_property
    def cell(self) -> Array:
        """[N, 2] (row, column) of the peaks that are taken for the targets, float32."""
        return library(self.cells).where(self.taken[:, None] > 0, self.cells[:, 1], self.cells[:, 0])

    @property
    def other(self) -> Array:
        """[N, 2] (row, column) of the peaks that are not taken, NaN where the second is too low to matter."""
        xp = library(self.cells)
        cells = xp.where(self.taken[:, None] > 0, self.cells[:, 0], self.cells[:, 1])
        return xp.where((self.scores[:, 1] <= _MATTERS * self.scores[:, 0])[:, None], math.nan, cells)

    @cached_property
    def found(self) -> Array:
        """[N] whether there is a target."""
        return self.flag != NOT_FOUND

    @property
    def teaches(self) -> Array:
        """[N] whether there is a target that is sure enough to learn from."""
        return self.flag <= HARD_NEGATIVE

    def rows(self) -> Array:
        """[N, 9] float32: cells, scores, which is taken, flag, finite."""
        rest = [self.taken[:, None], self.flag[:, None], self.finite[:, None]]
        return library(self.cells).concatenate([self.cells.reshape(-1, 4), self.scores, *rest], axis=1)

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> Localisation:
        """What `rows` was made of, on the host."""
        return cls(rows[:, :4].reshape(-1, 2, 2), rows[:, 4:6], rows[:, 6], rows[:, 7].astype(np.int64), rows[:, 8])


def localise(
    scores: Array,
    previous: Array,
    target_cells: Array,
    expected: Array,
    other: Array,
    thresholds: LocalisationThresholds,
) -> Localisation:
    """Find N targets, each on its score map (docs/reference.md, section 4), without waiting for the device.

    Args:
        scores: [N, H, W] score maps.
        previous: [N, 2] (y, x) of the targets before this frame, in cells from the map's centre.
        target_cells: [N, 2] (height, width) of the targets in cells.
        expected, other: [N, 2] where the targets are expected now and the last frame's second peaks were, as
            `previous`; NaN where there was no second peak. They matter to penalties only.
        thresholds: see there.
    """
    weighed = scores
    if thresholds.displacement_penalty or thresholds.distractor_penalty:
        weighed = _penalised(scores, target_cells, expected, other, thresholds)
    xp, (height, width) = library(scores), scores.shape[1:]
    first, first_score, index = _peak(weighed)
    others = _without_neighbourhood(weighed, first, thresholds.target_neighborhood_scale * target_cells)
    second, second_score, _ = _peak(others)
    cells = xp.stack([first, second], axis=1)
    away = from_centre(cells, height, width) - previous[:, None]
    flat = scores.reshape(len(scores), -1)
    # Whether there is a target at all is decided by what the model says, whatever was expected.
    if isinstance(flat, Tensor):
        lowest, said = flat.amin(1), first_score if weighed is scores else flat.gather(1, index[:, None])[:, 0]
    else:
        lowest, said = flat.min(1), first_score if weighed is scores else flat[np.arange(len(flat)), index]
    peaks = xp.stack([said, second_score], axis=1)
    distances = xp.sqrt((away * away).sum(2))
    values = xp.concatenate([peaks, distances, xp.stack([lowest, first_score], axis=1)], axis=1)
    # Compared in float64, the tables' type, which holds thresholds and scores exactly as they are written.
    limits = (
        thresholds.distractor_threshold,
        thresholds.hard_negative_threshold,
        thresholds.target_not_found_threshold,
        thresholds.displacement_scale * math.sqrt(height * width) / 2,
    )
    factors, bounds, bits, verdicts = _rules(limits, _place(scores))
    met = (values[:, None] * factors).sum(2) > bounds
    verdict = verdicts[(met * bits).sum(1)]
    return Localisation(cells, peaks, verdict[:, 2], verdict[:, 0], verdict[:, 1])


def _place(values: Array) -> torch.device | None:
    """Where values are: on a device, or None for arrays of numpy."""
    return values.device if isinstance(values, Tensor) else None


def _there(values: np.ndarray, device: torch.device | None) -> Array:
    """Values where `_place` says."""
    return values if device is None else torch.from_numpy(values).to(device)


@lru_cache(16)
def _rules(limits: tuple[float, float, float, float], device: torch.device | None) -> tuple[Array, Array, Array, Array]:
    """The decision as tables, since on a device each comparison would be a kernel of its own.

    Args:
        limits: thresholds of a distractor, of a hard negative, of a target, and of a large displacement in cells.
        device: see `_place`.

    Returns:
        Factors [9, 6] of (first peak, second peak, displacement of each, lowest score, first peak less penalties), and
        what [9] their sums are compared with; the bit [9] of each comparison; and by what they make together, [512, 3]:
        flag, whether all is finite, and which of the two peaks is taken.
    """
    distractor, hard_negative, target, far = limits
    # A value that is not finite makes all sums NaN, and all comparisons false, the last one, too.
    factors = np.zeros((9, 6))
    bounds = np.array([0.0, 0.0, target, far, far, -far, -far, -target, -1.0])
    factors[:2, 1], factors[:2, 5] = 1, (-distractor, -hard_negative)
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
    return _there(factors, device), _there(bounds, device), _there(bits, device), _there(verdicts, device)


@lru_cache(16)
def _cells(height: int, width: int, device: torch.device | None) -> Array:
    """(row, column) of the cells of a map in reading order, [height * width, 2] float32."""
    return _there(np.indices((height, width), np.float32).reshape(2, -1).T.copy(), device)


def from_centre(cell: Array, height: int, width: int) -> Array:
    """Displacement [..., 2] (y, x) of cells [..., 2] from the centre of a map of height x width cells, in cells."""
    if height == width:
        return cell - (height - 1) / 2
    return library(cell).stack([cell[..., 0] - (height - 1) / 2, cell[..., 1] - (width - 1) / 2], axis=-1)


def _penalised(
    scores: Array, target_cells: Array, expected: Array, other: Array, thresholds: LocalisationThresholds
) -> Array:
    """Scores [N, H, W], the positive ones less what the penalties take; see `localise` and `LocalisationThresholds`."""
    xp, (height, width) = library(scores), scores.shape[1:]
    cells = from_centre(_cells(height, width, _place(scores)), height, width)
    places = xp.stack([expected, other], axis=1)
    distances = cells - places[:, :, None]
    squares = (distances * distances).sum(3)
    away, of_other = squares[:, 0], squares[:, 1]
    area = target_cells.prod(1)[:, None]
    near = xp.exp(away / area * (-1 / (2 * thresholds.displacement_sigma**2)))
    kept = 1 - thresholds.displacement_penalty + thresholds.displacement_penalty * near
    # False where there was no other.
    others = (of_other < away) & (of_other < _REACH**2 * area)
    kept = kept * (1 - thresholds.distractor_penalty * others)
    return xp.minimum(scores, scores * kept.reshape(scores.shape))


def _peak(scores: Array) -> tuple[Array, Array, Array]:
    """Cells [N, 2] (row, column) as float32, values [N] and places [N] in reading order of the maxima of [N, H, W]."""
    flat = scores.reshape(len(scores), -1)
    value, index = flat.max(1) if isinstance(flat, Tensor) else (flat.max(1), flat.argmax(1))
    return _cells(scores.shape[1], scores.shape[2], _place(scores))[index], value, index


def _without_neighbourhood(scores: Array, cells: Array, sides: Array) -> Array:
    """The maps with a rectangle of the given sides [N, 2] (rows, columns) around cells [N, 2] set to zero."""
    # In float64, where the sums are exact: half a cell more or less decides how a border is rounded.
    half = cast(sides, library(sides).float64) / 2
    low, high = (cells - half).round(), (cells + half + 1).round()
    places = _cells(scores.shape[1], scores.shape[2], _place(scores))
    inside = ((places >= low[:, None]) & (places < high[:, None])).all(2)
    return library(scores).where(inside.reshape(scores.shape), 0, scores)
