"""How long a run will take, from a short trial of each tracker on its first sequences."""

from __future__ import annotations

import statistics
import time

import numpy as np

from pytracking.evaluation.execution import Worker, run_sequence
from pytracking.evaluation.schedule import Work
from pytracking.tracker.base import TrackResult

_SEQUENCES = 2
_FRAMES = 20


def plan(works: list[Work], workers: int) -> str:
    """A table of what is left to track and how long it will take, in Markdown, and the sum in one line.

    Args:
        works: sequences left to track; the first sequences of each tracker are tracked for some frames,
            in this process, and nothing is written.
        workers: number of workers that share the work.

    Raises:
        UserError: a tracker cannot be built, or the trial's frames cannot be read.
    """
    header = ["tracker", "sequences", "frames", "first frame (s)", "other frames (ms)", "expected"]
    lines, total = [header, ["---"] * len(header)], 0.0
    for label in dict.fromkeys(work.run.label for work in works):
        own = [work for work in works if work.run.label == label]
        first, frame = _trial(own[:_SEQUENCES])
        frames = sum(work.length for work in own)
        seconds = len(own) * first + (frames - len(own)) * frame
        times = [f"{first:.2f}", f"{1000 * frame:.0f}", _duration(seconds)]
        lines.append([label, str(len(own)), str(frames), *times])
        total += seconds
    shared = (
        f", {_duration(total / workers)} on {workers} workers that do not hold each other up" if workers > 1 else ""
    )
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\nexpected: {_duration(total)}{shared}; from {_FRAMES} frames of up to {_SEQUENCES} sequences each"


def _trial(works: list[Work]) -> tuple[float, float]:
    """Seconds of a first frame and of another one, reading included: medians over a short trial."""
    worker = Worker()
    firsts, others = [], []
    for work in works:
        tracker = worker.tracker_of(work.unit.spec)
        stamps = [time.perf_counter()]

        def stamp(number: int, image: np.ndarray, result: TrackResult, stamps: list[float] = stamps) -> None:
            stamps.append(time.perf_counter())

        run_sequence(tracker, work.unit.sequence.beginning(_FRAMES), stamp)
        took = np.diff(stamps).tolist()
        firsts.append(took[0])
        others += took[1:]
    return statistics.median(firsts), statistics.median(others) if others else 0.0


def _duration(seconds: float) -> str:
    """'1 d 2 h', '3 h 20 min', '5 min 10 s', '12 s'."""
    rest, parts = round(seconds), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
