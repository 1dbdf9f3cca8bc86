"""Our trackers under the conventions of OpenCV, and our results as supervision's detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.errors import MissingPackageError
from pytracking.registry import load_tracker
from pytracking.tracker.base import Box, Tracker, TrackResult

if TYPE_CHECKING:
    import supervision


class CV2Tracker:
    """A tracker with the interface of `cv2.Tracker`: images are BGR, `update` answers (found, box).

    Attributes:
        tracker: the tracker below it, of BGR images.
        result: its answer on the last frame, with score and flag.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.result: TrackResult | None = None

    def init(self, image: np.ndarray, boundingBox: Sequence[float]) -> None:
        """Start on a frame.

        Args:
            image: [H, W, 3] uint8 BGR.
            boundingBox: (x, y, w, h) in pixels.

        Raises:
            UserError: a bad image or box.
        """
        self.result = self.tracker.initialize(image, boundingBox)

    def update(self, image: np.ndarray) -> tuple[bool, Box]:
        """Track the target in the next frame, BGR.

        Returns:
            Whether the target was found, and its box (x, y, w, h) with decimals; the last one where it was not.

        Raises:
            RuntimeError: called before `init`.
        """
        self.result = self.tracker.track(image)
        return self.result.flag != "not_found", self.result.box


def cv2_tracker(parameter: str, tracker: str | None = None, **overrides: Any) -> CV2Tracker:
    """A tracker by name with the interface of `cv2.Tracker`; arguments and errors as for `load_tracker`.

    >>> import numpy as np
    >>> tracker = cv2_tracker("kcf")
    >>> tracker.init(np.zeros((120, 160, 3), np.uint8), (40, 30, 50, 40))
    >>> tracker.update(np.zeros((120, 160, 3), np.uint8))
    (True, (40.0, 30.0, 50.0, 40.0))
    """
    return CV2Tracker(load_tracker(parameter, tracker, color="bgr", **overrides))


def to_detections(results: TrackResult | Mapping[int, TrackResult]) -> supervision.Detections:
    """One frame's results as `supervision.Detections`: `xyxy`, `confidence`, `tracker_id`, and `data["flag"]`.

    Args:
        results: the result of one target, which gets the id 0, or results by id, as `MultiTracker.track` gives them.
            Targets that were not found are left out.

    Raises:
        MissingPackageError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise MissingPackageError("to_detections needs supervision: pip install 'ebm-tracking[supervision]'") from error
    by_id = {0: results} if isinstance(results, TrackResult) else dict(results)
    found = {key: result for key, result in by_id.items() if result.flag != "not_found"}
    if not found:
        return supervision.Detections.empty()
    boxes = np.array([result.box for result in found.values()], dtype=np.float32)
    return supervision.Detections(
        xyxy=np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1),
        confidence=np.array([result.score for result in found.values()], dtype=np.float32),
        tracker_id=np.array(list(found), dtype=int),
        data={"flag": np.array([result.flag for result in found.values()])},
    )
