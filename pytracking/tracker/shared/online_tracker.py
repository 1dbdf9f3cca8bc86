"""One target of `OnlineTargets` behind the interface of every tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from pytracking.tracker.base import TargetErrors, TrackResult
from pytracking.tracker.shared.memory import StoredSamples
from pytracking.tracker.shared.online_targets import OnlineTargets

Targets = TypeVar("Targets", bound=OnlineTargets[Any, Any])

_SLOT = 0


class OnlineTracker(Generic[Targets]):
    """Tracks one target; see `pytracking.tracker.base.Tracker`. All the work is in `targets`, a batch of one."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets

    @property
    def params(self) -> Any:
        """The tracker's parameters."""
        return self.targets.params

    @property
    def weights_sha256(self) -> str | None:
        """Checksum of the network's file."""
        return self.targets.weights_sha256

    @property
    def memory(self) -> StoredSamples:
        """What the target model learns from at the moment."""
        return self.targets.memory.of(_SLOT)

    def change(self, **parameters: Any) -> None:
        """Change thresholds or refinement from the next frame on; see `OnlineTargets.change`."""
        self.targets.change(**parameters)

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Learn the target from the first frame. Raises `ValueError` for a bad image or box."""
        return self.targets.add(image, box, _SLOT)[1]

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        if _SLOT not in self.targets:
            raise RuntimeError("track() was called before initialize()")
        try:
            return self.targets.track({_SLOT: image})[_SLOT]
        except TargetErrors as error:
            raise error.errors[_SLOT] from None
