"""Many targets at once: in images of their own (`BatchTracker`) or in one image (`MultiTracker`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ltr.errors import UserError, check_names
from pytracking.registry import create_tracker, find_tracker, load_parameters
from pytracking.tracker.base import TargetErrors, Tracker, TrackResult
from pytracking.tracker.inputs import COLOURS, as_image


class Targets(Protocol):
    """A tracker of many targets; what `create_targets` of a tracker's package gives."""

    weights_sha256: str | None

    def add(self, image: np.ndarray, box: Sequence[float], *, seed: int | None = None) -> tuple[int, TrackResult]:
        """A new target's number, and what there is to say of its first frame. Raises `ValueError` as `initialize`.

        `seed` is for parameters without one: the target then draws from a generator of its own.
        """

    def track(self, images: Mapping[int, np.ndarray]) -> dict[int, TrackResult]:
        """Results by target. Raises `TargetErrors` after all targets but those were tracked."""

    def remove(self, slot: int) -> None:
        """Forget a target."""

    def change(self, **parameters: Any) -> None:
        """Change parameters from the next frame on. Raises `UserError` where that cannot be."""


class OneByOne:
    """`Targets` of a tracker that knows one target only: one instance a target.

    Args:
        create: makes an instance.
    """

    def __init__(self, create: Callable[[], Tracker]) -> None:
        self._create = create
        self._free = [create()]
        self._trackers: dict[int, Tracker] = {}
        self.weights_sha256: str | None = getattr(self._free[0], "weights_sha256", None)

    def add(self, image: np.ndarray, box: Sequence[float], *, seed: int | None = None) -> tuple[int, TrackResult]:
        """See `Targets`; the instance draws from where it always does."""
        tracker = self._free.pop() if self._free else self._create()
        try:
            result = tracker.initialize(image, box)
        except ValueError:
            self._free.append(tracker)
            raise
        slot = next(free for free in range(len(self._trackers) + 1) if free not in self._trackers)
        self._trackers[slot] = tracker
        return slot, result

    def track(self, images: Mapping[int, np.ndarray]) -> dict[int, TrackResult]:
        """See `Targets`."""
        results, errors = {}, {}
        for slot, image in images.items():
            try:
                results[slot] = self._trackers[slot].track(image)
            except ValueError as error:
                errors[slot] = error
        if errors:
            raise TargetErrors(errors, results)
        return results

    def remove(self, slot: int) -> None:
        """See `Targets`."""
        self._free.append(self._trackers.pop(slot))

    def change(self, **parameters: Any) -> None:
        """See `Targets`."""
        raise UserError("this tracker's parameters cannot be changed while it tracks; load it with others")


def create_targets(tracker: str, params: Any) -> Targets:
    """Many targets of a tracker by its name and parameters: in one batch where it can, one by one where it cannot."""
    create = getattr(importlib.import_module(f"pytracking.tracker.{tracker}"), "create_targets", None)
    if create is None:
        return OneByOne(lambda: create_tracker(tracker, params))
    targets: Targets = create(params)
    return targets


class _Many:
    """Targets by ids of their own, which are never used again."""

    def __init__(self, parameter: str, tracker: str | None = None, *, color: str = "rgb", **overrides: Any) -> None:
        check_names("color", [color], COLOURS)
        self._color = color
        tracker, parameter = find_tracker(parameter, tracker)
        self._targets = create_targets(tracker, load_parameters(parameter, tracker, **overrides))
        self._slots: dict[int, int] = {}
        self._next = 0

    @property
    def targets(self) -> list[int]:
        """The ids of the targets that there are, in the order in which they came."""
        return list(self._slots)

    @property
    def weights_sha256(self) -> str | None:
        """Checksum of the network's file; None for a tracker without one."""
        return self._targets.weights_sha256

    def start(self, image: np.ndarray, box: Sequence[float]) -> tuple[int, TrackResult]:
        """Start a target, as `add`, and say what there is to say of its first frame."""
        slot, result = self._targets.add(as_image(image, self._color), box)
        target, self._next = self._next, self._next + 1
        self._slots[target] = slot
        return target, result

    def add(self, image: np.ndarray, box: Sequence[float]) -> int:
        """Start a target.

        Args:
            image: its first frame, as for a tracker's `initialize`.
            box: (x, y, w, h) in pixels of the image.

        Returns:
            The target's id, never used again.

        Raises:
            ValueError: a bad image or box; the other targets stay as they are.
        """
        return self.start(image, box)[0]

    def remove(self, target: int) -> None:
        """Forget a target. Raises `ValueError` for an id of no target."""
        self._check([target])
        self._targets.remove(self._slots.pop(target))

    def change(self, **parameters: Any) -> None:
        """Change thresholds or refinement from the next frame on, as `Targets.change`; see `OnlineTargets.change`."""
        self._targets.change(**parameters)

    def _follow(self, images: Mapping[int, Any]) -> dict[int, TrackResult]:
        """Results by id, for RGB images by id."""
        ids = {self._slots[target]: target for target in images}
        try:
            results = self._targets.track({self._slots[target]: image for target, image in images.items()})
        except TargetErrors as error:
            raise TargetErrors(_renamed(error.errors, ids), _renamed(error.results, ids)) from None
        return _renamed(results, ids)

    def _check(self, targets: Iterable[int]) -> None:
        for target in targets:
            if target not in self._slots:
                known = ", ".join(str(one) for one in self._slots) or "none"
                raise ValueError(f"there is no target {target}; there are: {known}")


class BatchTracker(_Many):
    """Tracks many targets, each in a video of its own, in one batch: several cameras, or several recordings.

    Targets come and go at any time. Trackers with a network (`dimp`, `atom`, `ostrack`) send all targets through it
    together; of any other tracker there is one instance a target.

        tracker = BatchTracker("dimp_nceplus_lite")
        left, right = tracker.add(left_image, left_box), tracker.add(right_image, right_box)
        results = tracker.track({left: next_left_image, right: next_right_image})

    Args:
        parameter, tracker, color, overrides: as for `load_tracker`.

    Raises:
        UserError: as `load_tracker`.
    """

    def track(self, images: Mapping[int, np.ndarray]) -> dict[int, TrackResult]:
        """Track targets in their next frames.

        Args:
            images: each target's next image, by id; sizes may differ. A target that is left out waits.

        Returns:
            The results by id. The time of one in a batch is its share of the batch's.

        Raises:
            ValueError: an id of no target; nothing was tracked.
            TargetErrors: some targets could not be tracked, such as for a bad image. All others were, and their
                results are in the error.
        """
        if not isinstance(images, Mapping):
            raise UserError(f"images are given by target, {{target: image}}, not as a {type(images).__name__}")
        self._check(images)
        return self._follow({target: self._rgb(image) for target, image in images.items()})

    def _rgb(self, image: Any) -> Any:
        """The image as RGB; what is no image is left for the tracker, which answers for its target alone."""
        try:
            return as_image(image, self._color) if self._color == "bgr" else image
        except UserError:
            return image


class MultiTracker(_Many):
    """Tracks many targets in one video, in one batch; they come and go at any time. See `BatchTracker`.

        tracker = MultiTracker("dimp_nceplus_lite")
        ids = [tracker.add(image, box) for box in boxes]
        for image in images:
            results = tracker.track(image)

    Args:
        parameter, tracker, color, overrides: as for `load_tracker`.
    """

    def track(self, image: np.ndarray) -> dict[int, TrackResult]:
        """Track all targets in the next image; results by id, and `TargetErrors` as for `BatchTracker.track`."""
        return self._follow(dict.fromkeys(self.targets, as_image(image, self._color)))


def _renamed(by_slot: Mapping[int, Any], ids: Mapping[int, int]) -> dict[int, Any]:
    return {ids[slot]: value for slot, value in by_slot.items()}
