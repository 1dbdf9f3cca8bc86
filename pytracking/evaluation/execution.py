"""One unit of work, a sequence of one run of one tracker: what it is, tracking it, and what comes of it."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable
from collections.abc import Sequence as Listing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.results import RawResult
from pytracking.evaluation.seeds import seeded
from pytracking.many import OneByOne, Targets, create_targets
from pytracking.registry import create_tracker
from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.tracker.inputs import check_first_box

OnFrame = Callable[[int, np.ndarray, TrackResult], None]


@dataclass(frozen=True)
class TrackerSpec:
    """All that a worker needs to build a tracker; equal ones give the same tracker.

    Attributes:
        name: the tracker, such as 'dimp'.
        params: its parameters, a dataclass.
        weights_sha256: checksum of the weights that it must have, None for a tracker without a network.
        create: builds it from name and parameters; a function that a worker can import.
    """

    name: str
    params: Any
    weights_sha256: str | None
    create: Callable[[str, Any], Tracker] = create_tracker


@dataclass(frozen=True)
class Unit:
    """A sequence of one run of one tracker.

    Attributes:
        number: tells the units of one call of `run_dataset` apart.
        spec: the tracker.
        sequence: sequence to track.
        seed: seed for every default generator, see `pytracking.evaluation.seeds`.
        pictures: folder for pictures of what happens inside each frame; None for none.
    """

    number: int
    spec: TrackerSpec
    sequence: Sequence
    seed: int
    pictures: Path | None = None

    def to_send(self) -> Unit:
        """The unit without what a tracker may not know, for another process."""
        sequence = self.sequence
        first = sequence.ground_truth_rect[:1].copy()
        bare = replace(sequence, ground_truth_rect=first, target_visible=None, polygons=None)
        return replace(self, sequence=bare)


@dataclass(frozen=True)
class Frames:
    """So many more frames of a unit are tracked."""

    number: int
    count: int


@dataclass(frozen=True)
class Tracked:
    """A unit is tracked; `where` says on which machine, with how many torch threads, and how 8 bits came about."""

    number: int
    result: RawResult
    where: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A unit could not be tracked: one line, and the traceback where that does not say all.

    `spoiled` tells that the worker is not to be used again, as a CUDA error outlives the tracker.
    """

    number: int
    message: str
    details: str | None
    spoiled: bool = False


class Unusable(Failed):
    """The tracker of a unit could not be built."""


@dataclass(frozen=True)
class Lost:
    """The worker of a unit has died, and how."""

    number: int
    reason: str


Event = Frames | Tracked | Failed | Lost


class Backend(Protocol):
    """Where units are tracked: this process, worker processes, or a Ray cluster."""

    def free(self) -> int:
        """How many units may be submitted now."""

    def submit(self, unit: Unit) -> None:
        """Start a unit; only where `free()` is not 0."""

    def wait(self, report: Callable[[Event], None]) -> None:
        """Hand over what has happened, after at most about a second; in this process, after a unit.

        Raises:
            UserError: no worker can be started.
        """

    def close(self) -> None:
        """Stop everything at once, units that are being tracked too."""


def run_sequence(tracker: Tracker, sequence: Sequence, on_frame: OnFrame | None = None) -> RawResult:
    """Track one sequence from its first annotated box to its last frame.

    Args:
        tracker: any tracker; it is initialised here.
        sequence: sequence to track.
        on_frame: called after each frame with its number (from 0), the RGB image and the tracker's answer.

    Raises:
        UserError: a frame cannot be read, or the first box is not finite, empty or outside the image.
        RuntimeError: the tracker answered a box that is not finite.
    """
    results: list[TrackResult] = []
    for number in range(len(sequence.frames)):
        try:
            image = sequence.image(number)
        except UserError as error:
            raise UserError(f"frame {number + 1} of {len(sequence.frames)}: {error}") from None
        if number == 0:
            result = tracker.initialize(image, first_box(sequence, image))
        else:
            result = tracker.track(image)
        if not np.isfinite(result.box).all():
            raise RuntimeError(f"frame {number + 1}: the tracker answered a box that is not finite: {result.box}")
        results.append(result)
        if on_frame is not None:
            on_frame(number, image, result)
    return raw_result(results)


def raw_result(results: Listing[TrackResult]) -> RawResult:
    """What is kept of a tracker's answers to the frames of a sequence."""
    boxes, times, scores = (
        np.array([getattr(one, name) for one in results], np.float64) for name in ("box", "time", "score")
    )
    return RawResult(boxes, times, scores, [one.flag for one in results])


def first_box(sequence: Sequence, image: np.ndarray) -> Box:
    """The box that a sequence starts on. Raises `UserError` where its first frame does not fit it."""
    try:
        return check_first_box(sequence.init_info()["init_bbox"], image)
    except ValueError as error:
        raise UserError(f"{sequence.annotation_path}: {error}") from error


class Worker:
    """Tracks units one after the other; a tracker is built once and kept while units want the same.

    Args:
        slot: number of this worker; where there are several GPUs, it uses number `slot` modulo their count.
            None leaves the choice to torch.
        debug: let whatever a tracker raises pass.
    """

    def __init__(self, slot: int | None = None, debug: bool = False) -> None:
        self._slot = slot
        self._debug = debug
        self._spec: tuple[TrackerSpec, bool] | None = None
        self._built: Any = None

    def track(self, unit: Unit, on_frame: OnFrame) -> Tracked | Failed:
        """Track a unit. What is returned says what went wrong; only a `BaseException` is raised."""
        try:
            tracker = self.tracker_of(unit.spec)
            if unit.pictures is not None:
                if not hasattr(tracker, "debug_to"):
                    name = unit.spec.name
                    raise UserError(f"--debug 2 draws what the trackers dimp and atom do; for {name} use --debug 1")
                tracker.debug_to(unit.pictures)
        except Exception as error:
            if self._debug and not isinstance(error, UserError):
                raise
            return self.unusable(unit, error)
        try:
            with seeded(unit.seed):
                result = run_sequence(tracker, unit.sequence, on_frame)
        except UserError as error:
            return Failed(unit.number, str(error), None)
        except Exception as error:
            # Whatever a tracker raises is reported at the end; the other sequences go on, with a fresh tracker.
            if self._debug:
                raise
            message = f"{type(error).__name__}: {error}"
            return Failed(unit.number, message, traceback.format_exc(), self.forget())
        return Tracked(unit.number, result, {**where(), **unit.sequence.levels()})

    def targets_of(self, spec: TrackerSpec) -> Targets:
        """The tracker of many targets; kept while units want the same. Raises `UserError` where it cannot be built."""
        if spec.create is create_tracker:
            return self._kept(spec, True, lambda: create_targets(spec.name, spec.params))
        return self._kept(spec, True, lambda: OneByOne(lambda: spec.create(spec.name, spec.params)))

    def unusable(self, unit: Unit, error: Exception) -> Unusable:
        """What is reported of a tracker that cannot be built."""
        if isinstance(error, UserError):
            return Unusable(unit.number, str(error), None)
        return Unusable(unit.number, f"{type(error).__name__}: {error}", traceback.format_exc())

    def forget(self) -> bool:
        """Drop the tracker after it failed; returns whether the whole worker is spoiled, as after a CUDA error."""
        self._spec = self._built = None
        return _cuda_in_use()

    def tracker_of(self, spec: TrackerSpec) -> Tracker:
        """The tracker of one target; kept while units want the same. Raises `UserError` where it cannot be built."""
        return self._kept(spec, False, lambda: spec.create(spec.name, spec.params))

    def _kept(self, spec: TrackerSpec, many: bool, build: Callable[[], Any]) -> Any:
        """What was built last, where it is for this tracker and for many targets or one; else it is built."""
        if self._spec != (spec, many):
            # The old one goes first, so that two networks need not fit into memory.
            self.forget()
            if self._slot is not None and hasattr(spec.params, "device"):
                import torch

                if torch.cuda.is_available():
                    torch.cuda.set_device(self._slot % torch.cuda.device_count())
            built = build()
            _check_weights(built, spec)
            self._spec, self._built = (spec, many), built
        return self._built


def _check_weights(tracker: Tracker | Targets, spec: TrackerSpec) -> None:
    """Raise `UserError` where a tracker has other weights than the run."""
    weights = getattr(tracker, "weights_sha256", None)
    if weights != spec.weights_sha256:
        raise UserError(
            f"{spec.name}: the weights here ({_short(weights)}) are not those that the run started with "
            f"({_short(spec.weights_sha256)}); give every worker the same file by net_path or net_name"
        )


def set_threads(count: int) -> None:
    """How many threads torch and OpenCV use in this process; before torch is imported, or after."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    cv2.setNumThreads(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def _cuda_in_use() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def where() -> dict[str, Any]:
    """On which machine, with how many torch threads and on which GPU this process tracks."""
    torch = sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else None
    return {"host": socket.gethostname(), "torch_threads": threads, "gpu": gpu}


def _short(checksum: str | None) -> str:
    return "none" if checksum is None else checksum[:12]


def debug_line(name: str, number: int, result: TrackResult) -> str:
    """What `--debug` prints of a frame, counted from 0."""
    box = " ".join(f"{value:8.2f}" for value in result.box)
    return f"{name} {number + 1:5d}  {box}  {result.score:7.3f}  {result.flag:13s} {1000 * result.time:7.1f} ms"
