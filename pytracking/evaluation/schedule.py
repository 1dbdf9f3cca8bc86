"""Handing units of work to a back end: locks, results, failures, workers that die, and what is left to do."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ltr.admin.locks import Locks
from ltr.errors import UserError, disk_full, is_disk_full
from pytracking.evaluation.execution import Backend, Event, Failed, Frames, Lost, Tracked, Unit, Unusable
from pytracking.evaluation.results import save_result, why_redo
from pytracking.evaluation.tracker import TrackerRun

ATTEMPTS = 3
_LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Failure:
    """A sequence that could not be tracked.

    Attributes:
        run: run of the tracker.
        sequence: name of the sequence.
        message: one line.
        details: the traceback, None where the message says all.
    """

    run: TrackerRun
    sequence: str
    message: str
    details: str | None


@dataclass
class Work:
    """A unit of work and where its result goes.

    Attributes:
        unit: sequence and tracker.
        run: run of the tracker.
        folder: folder of the results.
        description: the manifest without what only the result tells.
        frames: tracked so far, by the worker that is at it.
        lost: workers that have died or met a device error on it.
    """

    unit: Unit
    run: TrackerRun
    folder: Path
    description: dict[str, Any]
    frames: int = 0
    lost: int = 0

    @property
    def name(self) -> str:
        """Name of the sequence."""
        return self.unit.sequence.name

    @property
    def length(self) -> int:
        """Number of frames of the sequence."""
        return len(self.unit.sequence.frames)

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.folder / f"{self.name}.lock"


@dataclass
class Schedule:
    """Tracks all of `works` on a back end; `run` returns when there is nothing left that can be done.

    A result is written by this process alone, so that a worker that dies leaves nothing behind.

    Attributes:
        works: in the order in which they are started.
        backend: place where they are tracked; closed at the end.
        bar: counts frames.
        force: track again what has a result.
        wait_for_others: wait for sequences that another run is tracking, instead of leaving them out.
        failures: sequences that could not be tracked.
        done: sequences that this run has tracked and saved.
        done_by_others: sequences that another run has finished meanwhile.
        elsewhere: sequences that another run is tracking, with who that is.
    """

    works: list[Work]
    backend: Backend
    bar: tqdm
    force: bool = False
    wait_for_others: bool = False
    failures: list[Failure] = field(default_factory=list)
    done: int = 0
    done_by_others: int = 0
    elsewhere: list[tuple[Work, str]] = field(default_factory=list)

    def run(self) -> None:
        """Track everything.

        Raises:
            UserError: a tracker or worker cannot be started, or no space is left for a result.
            KeyboardInterrupt: Ctrl-C. However this ends, workers are stopped and locks are given back.
        """
        self._locks = Locks()
        self._pending = deque(self.works)
        self._active: dict[int, Work] = {}
        try:
            self._until_done()
            # What another run was at is looked at again: it may be done by now, or that run may have died.
            while self.elsewhere:
                others, self.elsewhere = self.elsewhere, []
                self._pending.extend(work for work, _ in others)
                self._until_done()
                if not self.wait_for_others:
                    break
                if self.elsewhere:
                    time.sleep(_LOOK_AGAIN_SECONDS)
        finally:
            self.backend.close()
            self._locks.release_all()

    def _until_done(self) -> None:
        while self._pending or self._active:
            self._fill()
            # Units may also wait for workers that are starting.
            if self._pending or self._active:
                self.backend.wait(self._on_event)

    def _fill(self) -> None:
        """Start what can be started now."""
        while self._pending and self.backend.free() > 0:
            work = self._pending.popleft()
            holder = self._locks.acquire(work.lock)
            if holder is not None:
                self.elsewhere.append((work, holder))
            elif not self.force and why_redo(work.folder, work.description) is None:
                self._locks.release(work.lock)
                self.done_by_others += 1
                self._expect_fewer(work.length)
            else:
                work.frames = 0
                self._active[work.unit.number] = work
                self.backend.submit(work.unit)
            self._show()

    def _on_event(self, event: Event) -> None:
        work = self._active[event.number]
        if isinstance(event, Frames):
            work.frames += event.count
            self.bar.update(event.count)
            return
        if isinstance(event, Unusable):
            if event.details is not None:
                tqdm.write(event.details, file=sys.stderr)
            label = "" if event.details is None else f"{work.run.label}: "
            raise UserError(f"{label}{event.message}")
        if isinstance(event, Tracked):
            self._save(work, event)
            self.done += 1
        elif isinstance(event, Lost):
            short = "SIGKILL" in event.reason
            advice = "where memory is short, use fewer --threads" if short else "see what it has printed"
            self._count_lost(work, f"its worker {event.reason}", advice, None)
        elif isinstance(event, Failed) and event.spoiled:
            # A device error may be the worker's fault and not the sequence's.
            self._count_lost(work, event.message, "see the traceback", event.details)
        elif isinstance(event, Failed):
            self._fail(work, event.message, event.details)
        del self._active[event.number]
        self._locks.release(work.lock)
        self._show()

    def _save(self, work: Work, event: Tracked) -> None:
        try:
            save_result(work.folder, event.result, {**work.description, "tracked": event.where})
        except OSError as error:
            if is_disk_full(error):
                kept = "the finished sequences are kept: make room and run the same command again"
                raise disk_full(work.folder / f"{work.name}.txt", kept) from error
            raise

    def _count_lost(self, work: Work, reason: str, advice: str, details: str | None) -> None:
        """Track a sequence again whose worker has failed, later than the others; at most `ATTEMPTS` times."""
        work.lost += 1
        if work.lost == ATTEMPTS:
            self._fail(work, f"{reason}, the last of {ATTEMPTS} attempts; {advice}", details)
            return
        tqdm.write(f"{work.run.label}: {work.name} is tracked again: {reason}", file=sys.stderr)
        self.bar.update(-work.frames)
        self._pending.append(work)

    def _fail(self, work: Work, message: str, details: str | None) -> None:
        self.failures.append(Failure(work.run, work.name, message, details))
        self._expect_fewer(work.length - work.frames)

    def _expect_fewer(self, frames: int) -> None:
        self.bar.total = (self.bar.total or 0) - frames

    def _show(self) -> None:
        finished = self.done + self.done_by_others + len(self.failures)
        self.bar.set_postfix_str(f"{finished}/{len(self.works)} sequences", refresh=False)
