"""The interface that every tracker offers, and what it says of one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxUncertainty:
    """How sure a box is by the energy's own density p(y | x) around it (docs/uncertainty.md).

    Attributes:
        cx, cy, w, h: standard deviations of the centre and the size, in pixels of the image.
        log_density: log p at the box in the space (cx / sw, cy / sh, log w, log h), (sw, sh) being the box's own size.
    """

    cx: float
    cy: float
    w: float
    h: float
    log_density: float


@dataclass(frozen=True)
class TrackResult:
    """What a tracker says of one frame.

    It can be read as PyTracking's dictionary, too: `result["target_bbox"]`, `result["time"]`.

    Attributes:
        box: (x, y, w, h), top-left corner, in pixels of the image, 0-based, with decimals.
        score: the tracker's confidence; its scale is the tracker's own, see docs/tracker.md. It may exceed 1 and be
            negative.
        flag: 'init' for the first frame, then 'normal', 'hard_negative', 'uncertain' or 'not_found'.
        time: seconds that the tracker took for this frame, reading the image excluded.
        uncertainty: deviations of the box; None where no box was refined, or by no energy (docs/uncertainty.md).
    """

    box: Box
    score: float
    flag: str
    time: float
    uncertainty: BoxUncertainty | None = None

    @property
    def xyxy(self) -> Box:
        """The box as corners (x1, y1, x2, y2), x2 = x + w and y2 = y + h."""
        x, y, w, h = self.box
        return x, y, x + w, y + h

    def __getitem__(self, key: str) -> Any:
        """An entry of the dictionary that PyTracking's trackers return: 'target_bbox', 'time', or a field's name."""
        if key == "target_bbox":
            return list(self.box)
        if key in ("box", "score", "flag", "time", "uncertainty"):
            return getattr(self, key)
        raise KeyError(key)


class Tracker(Protocol):
    """A single-object tracker: `initialize` once with the annotated box, then `track` frame by frame.

    Images are uint8 RGB arrays of shape [H, W, 3], or anything else that `pytracking.tracker.inputs.as_image` takes,
    and their size may change; boxes are (x, y, w, h) in pixels, 0-based, or what `check_first_box` takes. Every tracker
    passes what it is given through these two. `initialize` starts afresh, so that one tracker can run many sequences
    and none depends on those before it. A tracker with a network
    has an attribute `weights_sha256`, the checksum of its checkpoint, which is recorded with its results, and its
    parameters name that file by `net_path` or `net_name`.
    """

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Start on the first frame. Raises `UserError` for what is no image or no box in it."""

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""


class TargetErrors(ValueError):
    """Some targets of a batch could not be tracked; the others were.

    Attributes:
        errors: errors by target.
        results: results of the other targets.
    """

    def __init__(self, errors: Mapping[int, ValueError], results: Mapping[int, TrackResult]) -> None:
        super().__init__("; ".join(f"target {target}: {error}" for target, error in errors.items()))
        self.errors = dict(errors)
        self.results = dict(results)
