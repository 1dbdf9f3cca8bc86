"""One target of a tracker of many, such as `OnlineTargets`, behind the interface of every tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from pytracking.tracker.base import TargetErrors, TrackResult
from pytracking.tracker.shared.memory import StoredSamples
from pytracking.tracker.shared.online_targets import OnlineTargets

# What has `add`, `track`, `change` and `in` as `OnlineTargets` has them.
Many = TypeVar("Many", bound=Any)
Targets = TypeVar("Targets", bound=OnlineTargets[Any, Any])

_SLOT = 0


class SingleTarget(Generic[Many]):
    """Tracks one target; see `pytracking.tracker.base.Tracker`. All the work is in `targets`, a batch of one."""

    def __init__(self, targets: Many) -> None:
        self.targets = targets

    @property
    def params(self) -> Any:
        """The tracker's parameters."""
        return self.targets.params

    @property
    def weights_sha256(self) -> str | None:
        """Checksum of the network's file."""
        checksum: str | None = self.targets.weights_sha256
        return checksum

    def change(self, **parameters: Any) -> None:
        """Change thresholds or refinement from the next frame on; see `OnlineTargets.change`."""
        self.targets.change(**parameters)

    def debug_to(self, folder: str | Path | None) -> None:
        """Write a picture of every frame from now on; see `OnlineTargets.debug_to`."""
        self.targets.debug_to(folder)

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Learn the target from the first frame. Raises `ValueError` for a bad image or box."""
        result: TrackResult = self.targets.add(image, box, _SLOT)[1]
        return result

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        if _SLOT not in self.targets:
            raise RuntimeError("track() was called before initialize()")
        try:
            result: TrackResult = self.targets.track({_SLOT: image})[_SLOT]
            return result
        except TargetErrors as error:
            raise error.errors[_SLOT] from None


class OnlineTracker(SingleTarget[Targets]):
    """One target of a tracker that learns online."""

    def score_map(self) -> np.ndarray | None:
        """The scores [H, W], float32, of the search region in the last frame; None before there are any."""
        return self.targets.score_map(_SLOT)

    @property
    def memory(self) -> StoredSamples:
        """What the target model learns from at the moment."""
        return self.targets.memory.of(_SLOT)
