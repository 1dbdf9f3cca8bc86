"""OpenCV's own trackers (contrib builds, 4.x and 5.x) behind the common interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ltr.errors import UserError, check_names
from pytracking.networks import checksum
from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.tracker.inputs import as_image, check_first_box


class Algorithm(NamedTuple):
    """`cv2.Tracker<name>`, and field of its `_Params` -> pattern of the file of weights below `net_path`."""

    name: str
    weights: dict[str, str]


ALGORITHMS = {
    "csrt": Algorithm("CSRT", {}),
    "kcf": Algorithm("KCF", {}),
    "mil": Algorithm("MIL", {}),
    "mosse": Algorithm("MOSSE", {}),
    "medianflow": Algorithm("MedianFlow", {}),
    "nano": Algorithm("Nano", {"backbone": "*backbone*.onnx", "neckhead": "*head*.onnx"}),
    "vit": Algorithm("Vit", {"net": "*vit*.onnx"}),
    "dasiamrpn": Algorithm(
        "DaSiamRPN", {"kernel_cls1": "*kernel_cls1*.onnx", "kernel_r1": "*kernel_r1*.onnx", "model": "*model*.onnx"}
    ),
    "goturn": Algorithm("GOTURN", {"modelTxt": "*.prototxt", "modelBin": "*.caffemodel"}),
}


# Least width and height in pixels of a box that was found.
_LEAST_SIDE = 2
# Area in pixels below which MIL draws its random features for ever: 16 and less were seen to hang, 24 and more to end.
_LEAST_MIL_AREA = 24


@dataclass(frozen=True)
class OpenCVParameters:
    """Which of OpenCV's trackers; its settings stay OpenCV's own.

    Attributes:
        algorithm: key of `ALGORITHMS`.
        net_path: file with the network's weights, or a folder with all of them; only for trackers with a network.
    """

    algorithm: str
    net_path: str | None = None


class OpenCVTracker:
    """One of OpenCV's trackers; see `pytracking.tracker.base.Tracker`.

    OpenCV takes and gives boxes of whole pixels: the first box is rounded to the nearest pixel and cut at the image's
    border. The score is the network's own where the tracker has one (Nano, Vit, DaSiamRPN); the others tell no
    confidence, so theirs is 1 where the target was found and 0 where it was not. A target that was not found keeps the
    last box, with the flag 'not_found'.
    """

    def __init__(self, params: OpenCVParameters) -> None:
        self._params = params
        self._name, self._weights = ALGORITHMS[params.algorithm]
        self._tracker: Any = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)
        # The networks of Nano, Vit and DaSiamRPN are read here, so that a missing file is named before the first frame.
        self._ready: Any = _create(params)
        weights = None if params.net_path is None else Path(params.net_path).expanduser()
        self.weights_sha256 = None if weights is None else checksum(weights)

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Start on the first frame. Raises `ValueError` for a bad first box, or one that OpenCV cannot start on."""
        start = time.perf_counter()
        image = as_image(image)
        self._box = check_first_box(box, image)
        tracker, self._ready = self._ready or _create(self._params), None
        whole = _whole_pixels(self._box, image)
        if self._params.algorithm == "mil" and (min(whole[2:]) < _LEAST_SIDE or whole[2] * whole[3] < _LEAST_MIL_AREA):
            raise UserError(f"OpenCV's MIL never finds features on the box {whole}: give it a larger one")
        try:
            tracker.init(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), whole)
        except cv2.error as error:
            raise UserError(f"OpenCV's {self._name} cannot start on the box {whole}: {error.err}") from error
        self._tracker = tracker
        return TrackResult(self._box, 1.0, "init", time.perf_counter() - start)

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame. Raises `RuntimeError` when called before `initialize`."""
        start = time.perf_counter()
        if self._tracker is None:
            raise RuntimeError("track() was called before initialize()")
        image = as_image(image)
        try:
            found, box = self._tracker.update(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise UserError(f"OpenCV's {self._name} cannot track in this {size} image: {error.err}") from error
        # A box of one pixel leaves OpenCV's filters nothing to correlate: they report success and drift or give zeros.
        found = bool(found) and min(box[2:]) >= _LEAST_SIDE
        if found:
            x, y, w, h = box
            self._box = (float(x), float(y), float(w), float(h))
        scored = bool(self._weights) and hasattr(self._tracker, "getTrackingScore")
        score = float(self._tracker.getTrackingScore()) if scored else float(found)
        return TrackResult(self._box, score, "normal" if found else "not_found", time.perf_counter() - start)


def create(params: OpenCVParameters) -> Tracker:
    """Create the tracker.

    Raises:
        UserError: an unknown algorithm, an OpenCV that does not have it, or weights that are missing or unreadable.
    """
    check_names("OpenCV tracker", [params.algorithm], ALGORITHMS)
    return OpenCVTracker(params)


def _create(params: OpenCVParameters) -> Any:
    name, weights = ALGORITHMS[params.algorithm]
    home = cv2 if hasattr(cv2, f"Tracker{name}_create") else getattr(cv2, "legacy", cv2)
    factory = getattr(home, f"Tracker{name}_create", None)
    if factory is None:
        raise UserError(
            f"this OpenCV ({cv2.__version__}) has no {name} tracker; install opencv-contrib-python-headless "
            "in place of any other opencv package"
        )
    if not weights:
        return factory()
    settings = getattr(cv2, f"Tracker{name}_Params")()
    for field, file in _weight_files(params.algorithm, params.net_path, weights).items():
        setattr(settings, field, str(file))
    try:
        return factory(settings)
    except cv2.error as error:
        raise UserError(f"OpenCV cannot read the weights of {name} in {params.net_path}: {error.err}") from error


def _weight_files(algorithm: str, net_path: str | None, patterns: dict[str, str]) -> dict[str, Path]:
    """The files of a tracker's network, by field."""
    if net_path is None:
        raise UserError(
            f"opencv/{algorithm} needs the weights of its network: set net_path (--set net_path=PATH) to "
            + ("their file" if len(patterns) == 1 else f"the folder with {', '.join(patterns.values())}")
        )
    given = Path(net_path).expanduser().absolute()
    if len(patterns) == 1 and given.is_file():
        return dict.fromkeys(patterns, given)
    if not given.is_dir():
        raise UserError(f"{given}: no such {'file or ' if len(patterns) == 1 else ''}folder (net_path of {algorithm})")
    files = {}
    for field, pattern in patterns.items():
        fitting = sorted(given.glob(pattern))
        if len(fitting) != 1:
            raise UserError(f"{given}: {len(fitting) or 'no'} files {pattern}; opencv/{algorithm} needs exactly one")
        files[field] = fitting[0]
    return files


def _whole_pixels(box: Box, image: np.ndarray) -> tuple[int, int, int, int]:
    """The box in whole pixels inside the image, at least one pixel wide and high."""
    x, y, w, h = box
    height, width = image.shape[:2]
    left = min(max(round(x), 0), width - 1)
    top = min(max(round(y), 0), height - 1)
    right = min(max(round(x) + round(w), left + 1), width)
    bottom = min(max(round(y) + round(h), top + 1), height)
    return left, top, right - left, bottom - top
