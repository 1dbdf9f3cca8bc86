"""Where on the score map the target is, and how far to trust it: peaks, distractors, flags (after ATOM)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LocalisationThresholds:
    """The thresholds of `localise`; names and defaults as in the public parameter files of DiMP.

    Attributes:
        target_not_found_threshold: a peak below this is no target.
        distractor_threshold: a second peak above this part of the first is a distractor that may be the target.
        hard_negative_threshold: a second peak above this part of the first is a hard negative.
        target_neighborhood_scale: side of the first peak's neighbourhood over the target's.
        displacement_scale: a displacement is large beyond this part of half the score map's side.
    """

    target_not_found_threshold: float = 0.25
    distractor_threshold: float = 0.8
    hard_negative_threshold: float = 0.5
    target_neighborhood_scale: float = 2.2
    displacement_scale: float = 0.8


@dataclass(frozen=True)
class Localisation:
    """What a score map says.

    Attributes:
        cell: (row, column) of the peak that is taken for the target.
        score: value of the highest peak, whichever is taken.
        flag: 'normal', 'hard_negative', 'uncertain' or 'not_found'.
    """

    cell: tuple[int, int]
    score: float
    flag: str


def localise(
    scores: np.ndarray, previous: np.ndarray, target_cells: np.ndarray, thresholds: LocalisationThresholds
) -> Localisation:
    """Find the target on a score map (docs/reference.md, section 4).

    Args:
        scores: [H, W] score map.
        previous: [2] (y, x) of the target before this frame, in cells from the map's centre.
        target_cells: [2] (height, width) of the target in cells.
        thresholds: see there.

    Raises:
        ValueError: a score is not finite, so that no peak means anything.
    """
    if not np.isfinite(scores).all():
        raise ValueError(
            "the score map holds values that are not finite: the network's weights or its input are broken"
        )
    first, first_score = _peak(scores)
    if first_score < thresholds.target_not_found_threshold:
        return Localisation(first, first_score, "not_found")

    others = _without_neighbourhood(scores, first, thresholds.target_neighborhood_scale * target_cells)
    second, second_score = _peak(others)
    if second_score > thresholds.distractor_threshold * first_score:
        return _choose(scores.shape, first, second, first_score, previous, thresholds.displacement_scale)
    hard_negative = thresholds.hard_negative_threshold * first_score
    if second_score > hard_negative and second_score > thresholds.target_not_found_threshold:
        return Localisation(first, first_score, "hard_negative")
    return Localisation(first, first_score, "normal")


def from_centre(cell: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Displacement [2] (y, x) of a cell from the centre of a map of this shape (H, W), in cells."""
    return np.array(cell, dtype=np.float32) - (np.array(shape, dtype=np.float32) - 1) / 2


def softmax_map(scores: np.ndarray) -> np.ndarray:
    """Scores [H, W] as a distribution over the map's cells."""
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def _choose(
    shape: tuple[int, ...],
    first: tuple[int, int],
    second: tuple[int, int],
    score: float,
    previous: np.ndarray,
    displacement_scale: float,
) -> Localisation:
    """Between two peaks of about the same height, the one near the previous position if the other is far from it."""
    limit = displacement_scale * math.sqrt(shape[0] * shape[1]) / 2
    first_distance = float(np.linalg.norm(from_centre(first, shape) - previous))
    second_distance = float(np.linalg.norm(from_centre(second, shape) - previous))
    if second_distance > limit > first_distance:
        return Localisation(first, score, "hard_negative")
    if first_distance > limit > second_distance:
        return Localisation(second, score, "hard_negative")
    return Localisation(first, score, "uncertain")


def _peak(scores: np.ndarray) -> tuple[tuple[int, int], float]:
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    return (row, column), float(scores[row, column])


def _without_neighbourhood(scores: np.ndarray, cell: tuple[int, int], side: np.ndarray) -> np.ndarray:
    """The map with a rectangle of the given sides (rows, columns) around a cell set to zero."""
    half_height, half_width = (side / 2).tolist()
    rows = slice(max(round(cell[0] - half_height), 0), max(round(cell[0] + half_height + 1), 0))
    columns = slice(max(round(cell[1] - half_width), 0), max(round(cell[1] + half_width + 1), 0))
    masked = scores.copy()
    masked[rows, columns] = 0
    return masked
