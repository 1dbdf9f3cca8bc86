"""Online tracking: trackers, parameters, evaluation data sets, results and analysis.

    from pytracking import load_tracker

    tracker = load_tracker("dimp_nceplus_lite")
    tracker.initialize(first_image, (x, y, w, h))
    for image in images:
        print(tracker.track(image).box)

Images are uint8 RGB arrays [H, W, 3]; boxes are (x, y, w, h) in pixels.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ltr import moved

if TYPE_CHECKING:
    from pytracking.evaluation.datasets import get_dataset
    from pytracking.evaluation.results import read_result
    from pytracking.evaluation.tracker import trackerlist
    from pytracking.interop import cv2_tracker, to_detections
    from pytracking.many import BatchTracker, MultiTracker
    from pytracking.registry import list_trackers, load_tracker
    from pytracking.tracker.base import TrackResult

__all__ = [
    "BatchTracker",
    "MultiTracker",
    "TrackResult",
    "cv2_tracker",
    "get_dataset",
    "list_trackers",
    "load_tracker",
    "read_result",
    "to_detections",
    "trackerlist",
]

# Imported on first use, so that `import pytracking` loads neither torch nor OpenCV.
_HOME = {
    "BatchTracker": "pytracking.many",
    "MultiTracker": "pytracking.many",
    "TrackResult": "pytracking.tracker.base",
    "cv2_tracker": "pytracking.interop",
    "get_dataset": "pytracking.evaluation.datasets",
    "list_trackers": "pytracking.registry",
    "load_tracker": "pytracking.registry",
    "read_result": "pytracking.evaluation.results",
    "to_detections": "pytracking.interop",
    "trackerlist": "pytracking.evaluation.tracker",
}

moved.install()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pytracking' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
