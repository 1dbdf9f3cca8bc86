"""Several units of work at once, a frame of each at a time, through one batched tracker."""

from __future__ import annotations

import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ltr.errors import UserError
from pytracking.evaluation.execution import Event, Failed, Frames, Tracked, Unit, Worker, first_box, raw_result, where
from pytracking.many import OneByOne, Targets
from pytracking.tracker.base import TargetErrors, TrackResult

# Frames that are decoded ahead of the tracker, for each sequence.
_AHEAD = 2
# What a tracker or its device may raise, whatever the cause.
_OF_A_TRACKER = (
    RuntimeError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    OSError,
    MemoryError,
)


@dataclass
class _Run:
    """A unit that is being tracked.

    Attributes:
        slot: its target.
        frames: images that are being decoded, in order.
        decoded: number of frames handed to the decoder.
        results: what was answered so far.
    """

    unit: Unit
    slot: int = -1
    frames: deque[Future[np.ndarray]] = field(default_factory=deque)
    decoded: int = 0
    results: list[TrackResult] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether all frames are tracked."""
        return len(self.results) == len(self.unit.sequence.frames)


class Lockstep:
    """Tracks up to `size` units at once; the next one starts where one ends.

    Frames are decoded in threads ahead of the tracker, which sends a frame of every unit through its network together.
    A unit that fails does not stop the others. An error that cannot be laid to one unit, such as a device that ran out
    of memory, ends the batch: its units are then tracked one at a time, as are those of trackers without a batch.

    Args:
        worker: builds the trackers, and tracks units one at a time.
        size: units at once.
    """

    def __init__(self, worker: Worker, size: int) -> None:
        self._worker = worker
        self._size = size
        self._decoders = ThreadPoolExecutor(max(1, min(size, 4)), thread_name_prefix="decode")
        self._waiting: deque[Unit] = deque()
        self._alone: deque[Unit] = deque()
        self._running: list[_Run] = []
        self._targets: Targets | None = None

    def __len__(self) -> int:
        """Units that are being tracked or wait for it."""
        return len(self._waiting) + len(self._alone) + len(self._running)

    def submit(self, unit: Unit) -> None:
        """Track a unit as soon as there is room."""
        self._waiting.append(unit)

    def step(self) -> list[Event]:
        """Track one frame of every unit, or one unit that has to be alone; returns what has happened."""
        if self._alone and not self._running:
            unit = self._alone.popleft()
            tracked: list[Event] = []
            end = self._worker.track(unit, lambda number, image, result: tracked.append(Frames(unit.number, 1)))
            return [*tracked, end]
        events: list[Event] = []
        try:
            self._start(events)
            if self._running:
                self._track(events)
        except _OF_A_TRACKER as error:
            # Whose fault it is will show when each is tracked by itself.
            self._scatter(error, events)
        return events

    def close(self) -> None:
        """Stop decoding and forget everything."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._running.clear()
        self._waiting.clear()
        self._alone.clear()

    def _start(self, events: list[Event]) -> None:
        """Start units while there is room and they want the tracker that the others have."""
        while self._waiting and len(self._running) < self._size:
            unit = self._waiting[0]
            if self._running and unit.spec != self._running[0].unit.spec:
                return
            self._waiting.popleft()
            try:
                self._targets = self._worker.targets_of(unit.spec)
            except UserError as error:
                events.append(self._worker.unusable(unit, error))
                return
            if isinstance(self._targets, OneByOne):
                self._alone.append(unit)
                return
            run = _Run(unit)
            self._read_ahead(run)
            self._run_first(run, events)

    def _run_first(self, run: _Run, events: list[Event]) -> None:
        assert self._targets is not None
        try:
            image = self._next_image(run)
            box = first_box(run.unit.sequence, image)
            # A tracker that draws from the default generators gets one of its own with the sequence's seed: in a batch
            # the default ones would be everybody's.
            run.slot, result = self._targets.add(image, box, seed=run.unit.seed)
        except UserError as error:
            events.append(Failed(run.unit.number, str(error), None))
            return
        self._running.append(run)
        self._take(run, result, events)

    def _track(self, events: list[Event]) -> None:
        assert self._targets is not None
        images: dict[int, np.ndarray] = {}
        for run in [run for run in self._running if not run.finished]:
            try:
                images[run.slot] = self._next_image(run)
            except UserError as error:
                self._end(run, Failed(run.unit.number, str(error), None), events)
        if not images:
            return
        try:
            results = self._targets.track(images)
            errors: dict[int, ValueError] = {}
        except TargetErrors as caught:
            results, errors = caught.results, caught.errors
        for run in list(self._running):
            if run.slot in errors:
                message = f"frame {len(run.results) + 1} of {len(run.unit.sequence.frames)}: {errors[run.slot]}"
                self._end(run, Failed(run.unit.number, message, None), events)
            elif run.slot in results:
                self._take(run, results[run.slot], events)

    def _take(self, run: _Run, result: TrackResult, events: list[Event]) -> None:
        """Note what the tracker answered; the last answer ends the unit."""
        number = run.unit.number
        if not np.isfinite(result.box).all():
            message = f"frame {len(run.results) + 1}: the tracker answered a box that is not finite: {result.box}"
            self._end(run, Failed(number, f"RuntimeError: {message}", None), events)
            return
        run.results.append(result)
        events.append(Frames(number, 1))
        if run.finished:
            levels = run.unit.sequence.levels()
            self._end(run, Tracked(number, raw_result(run.results), {**where(), **levels}), events)

    def _end(self, run: _Run, event: Event, events: list[Event]) -> None:
        assert self._targets is not None
        self._running.remove(run)
        self._targets.remove(run.slot)
        events.append(event)

    def _scatter(self, error: Exception, events: list[Event]) -> None:
        """Give the batch up after an error of no unit in particular."""
        broken = self._running
        self._running = []
        self._targets = None
        spoiled = self._worker.forget()
        for run in broken:
            if spoiled:
                message = f"{type(error).__name__}: {error}"
                events.append(Failed(run.unit.number, message, traceback.format_exc(), spoiled))
            else:
                events.append(Frames(run.unit.number, -len(run.results)))
                self._alone.append(run.unit)

    def _read_ahead(self, run: _Run) -> None:
        sequence = run.unit.sequence
        while len(run.frames) < _AHEAD and run.decoded < len(sequence.frames):
            run.frames.append(self._decoders.submit(sequence.image, run.decoded))
            run.decoded += 1

    def _next_image(self, run: _Run) -> np.ndarray:
        number = len(run.results) + 1
        try:
            image = run.frames.popleft().result()
        except UserError as error:
            raise UserError(f"frame {number} of {len(run.unit.sequence.frames)}: {error}") from None
        self._read_ahead(run)
        return image
