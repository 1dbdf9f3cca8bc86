"""From a frame's score maps and energies to its targets: boxes are refined on the device, and the host takes over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ltr.models.bbreg.closed_form import ClosedFormHead
from ltr.models.bbreg.device_ascent import DeviceAscent, FrameAscent
from pytracking.tracker.base import BoxUncertainty
from pytracking.tracker.shared.geometry import Array, TargetState, library, swapped
from pytracking.tracker.shared.localisation import HARD_NEGATIVE, Localisation, from_centre
from pytracking.tracker.shared.refinement import Ascend, best_mean, climb, propose
from pytracking.tracker.shared.search import Search
from pytracking.tracker.shared.settings import TrackerParameters
from pytracking.tracker.shared.uncertainty import ascent_rows, uncertainty_of


def moved_to(cell: Array, search: Search, params: TrackerParameters) -> TargetState:
    """Targets at cells [N, 2] of the score map, kept in the image.

    Without a box head the crop's scale is taken over, too.
    """
    frame, target = search.frame, search.target
    displacement = from_centre(cell, search.score_side, search.score_side) * search.pixels_per_cell
    moved = replace(target, position=frame.position + displacement * frame.scale[:, None])
    if not params.use_iou_net:
        least, largest = search.scale_limits[:, 0], search.scale_limits[:, 1]
        scale = frame.scale.clip(least, largest)
        moved = replace(moved, scale=scale, size=search.base_size * scale[:, None])
    return moved.moved_inside(search.image_size, params.target_inside_ratio)


def starts_at(moved: TargetState, search: Search, params: TrackerParameters) -> Array:
    """What the ascent starts from, [N, M, 4] (x, y, w, h) in sample pixels, with the targets `moved_to` a place."""
    if search.starts is None:
        return propose(search.frame.box_of(moved), search.jitter, params)
    # Made before it was known where the targets are, which moves them, but no more.
    shift = (moved.position - search.target.position) / search.frame.scale[:, None]
    starts = search.starts.clone()
    starts[..., :2] += swapped(shift)[:, None]
    return starts


def trail_after(found: Localisation, search: Search, target: TargetState) -> Array:
    """The trail [N, 4] (see `Target`) when the targets are there now; as it was for those that were not found."""
    cell = (search.pixels_per_cell * search.frame.scale)[:, None]
    other = search.frame.position + from_centre(found.other, search.score_side, search.score_side) * cell
    xp = library(other)
    trail = xp.concatenate([target.position - search.target.position, other], axis=1)
    return xp.where(found.found[:, None], trail, search.trail)


def learning_rates(flag: Array, params: TrackerParameters) -> Array:
    """Weights [N], float64, of new samples of frames with flags [N]."""
    xp, rates = library(flag), (params.hard_negative_learning_rate, params.learning_rate)
    return xp.where(flag == HARD_NEGATIVE, *(xp.asarray(rate, dtype=xp.float64) for rate in rates))


@dataclass(frozen=True)
class Answers:
    """What the device has found, on the host.

    Attributes:
        peaks: of the score maps.
        target: one without a fair box keeps its size, and one that is lost stays as it was.
        uncertainty: of the boxes, where it is asked for and known.
        ascend: `gradient_ascent` on the targets' energies; None without a box head.
    """

    peaks: Localisation
    target: TargetState
    uncertainty: list[BoxUncertainty | None]
    ascend: Ascend | None


class Refinement:
    """Refines the targets of frame after frame by one box head.

    Args:
        refiner: prepared for it.
        recorded: as CUDA graphs.
    """

    def __init__(self, refiner: ClosedFormHead, recorded: bool = False) -> None:
        self._closed, self._unwaiting = refiner, DeviceAscent(refiner, recorded)

    def answers(
        self,
        found: Localisation,
        modulation: Sequence[Tensor],
        layers: Sequence[Tensor],
        search: Search,
        params: TrackerParameters,
    ) -> Answers:
        """Refine the boxes at the peaks, and wait for the device.

        That is once; but where boxes left the windows that were set aside for them, there is a second time.

        Args:
            found: on the device.
            modulation, layers: as for `ClosedFormHead.refine`.
            search: what the frame started from.
        """
        if not params.use_iou_net:
            return _taken_over(found, None, search, params)
        ascend: Ascend = partial(self._closed.refine, modulation, layers)
        if search.host is not None:
            here = search.host
            starts = propose(here.frame.box_of(here.target), here.jitter, params)
            waiting = partial(self._closed.refine, modulation, layers)
            ascend = FrameAscent(self._unwaiting, waiting, torch.from_numpy(starts))
        return _taken_over(found, ascend, search, params)


def _taken_over(found: Localisation, ascend: Ascend | None, search: Search, params: TrackerParameters) -> Answers:
    here = search.here
    uncertainty: list[BoxUncertainty | None] = [None] * len(found.flag)
    if ascend is None:
        peaks = found if search.host is None else Localisation.from_rows(found.rows().cpu().numpy())
        target = moved_to(peaks.cell, here, params)
        return Answers(peaks, target.where(peaks.found, here.target), uncertainty, None)
    target = moved_to(found.cell, search, params)
    peaks, (boxes, fair, kept, drawn) = found, _refined(found, target, ascend, search, params)
    if search.host is not None:
        # All in one piece, for which the host waits.
        parts = [found.rows(), boxes, fair[:, None], kept[:, None], *(each.flatten(1) for each in drawn)]
        row = torch.cat(parts, dim=1).cpu().numpy()
        peaks, boxes, fair, kept = Localisation.from_rows(row[:, :9]), row[:, 9:13], row[:, 13] > 0, row[:, 14] > 0
        drawn = tuple(row[:, 15:].reshape(len(row), 2, -1, 4).swapaxes(0, 1)) if drawn else ()
        target = moved_to(peaks.cell, here, params)
    if isinstance(ascend, FrameAscent) and not (kept | ~peaks.found).all():
        return _taken_over(found, ascend.waiting, search, params)
    refined = fair & peaks.found
    if refined.all():
        target = here.frame.state_of(boxes, here.base_size)
    else:
        target = here.frame.state_of(boxes, here.base_size).where(fair, target).where(peaks.found, here.target)
    if drawn:
        starts, reached = drawn
        ascents = ascent_rows(starts, reached, refined, here.frame.scale)
        uncertainty = [uncertainty_of(each, box, params) for each, box in zip(ascents, target.boxes().tolist())]
    return Answers(peaks, target, uncertainty, ascend)


def _refined(
    found: Localisation, moved: TargetState, ascend: Ascend, search: Search, params: TrackerParameters
) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """The boxes that the box head prefers near the targets that have moved to their peaks.

    Returns:
        Boxes [N, 4] in sample pixels, [N] whether they are fair and [N] whether their ascent kept to its windows,
        and the boxes of before and after, [N, M, 4] each, where an uncertainty is wanted.
    """
    if search.host is None and not found.found.any():
        return np.zeros((len(found.score), 4), np.float32), found.found, found.found, ()
    starts = starts_at(moved, search, params)
    reached, energies = climb(ascend, starts, params)
    boxes, fair = best_mean(reached, energies, params)
    kept = ascend.kept if isinstance(ascend, FrameAscent) and ascend.kept is not None else library(fair).ones_like(fair)
    wanted = params.box_uncertainty is not False and params.has_energy
    return boxes, fair, kept, (starts, reached) if wanted else ()
