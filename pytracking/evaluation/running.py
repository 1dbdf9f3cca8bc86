"""Running trackers on sequences: one after the other, with progress, and with every failure reported at the end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pytracking.errors import UserError, disk_full, is_disk_full
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.images import read_image
from pytracking.evaluation.results import RawResult, describe_run, save_result, why_redo
from pytracking.evaluation.tracker import TrackerRun
from pytracking.progress import progress_bar
from pytracking.registry import create_tracker, load_parameters
from pytracking.tracker.base import Tracker, TrackResult, check_first_box

OnFrame = Callable[[int, np.ndarray, TrackResult], None]


@dataclass(frozen=True)
class Failure:
    """A sequence that could not be tracked.

    Attributes:
        run: which tracker.
        sequence: name of the sequence.
        message: one line.
        details: the traceback, None where the message says all.
    """

    run: TrackerRun
    sequence: str
    message: str
    details: str | None


def run_sequence(tracker: Tracker, sequence: Sequence, on_frame: OnFrame | None = None) -> RawResult:
    """Track one sequence from its first annotated box to its last frame.

    Args:
        tracker: any tracker; it is initialised here.
        sequence: what to track.
        on_frame: called after each frame with its number (from 0), the RGB image and the tracker's answer.

    Raises:
        UserError: a frame cannot be read, or the first box is not finite, empty or outside the image.
        RuntimeError: the tracker answered a box that is not finite.
    """
    boxes = np.empty((len(sequence.frames), 4), np.float64)
    times = np.empty(len(sequence.frames), np.float64)
    first_box = sequence.init_info()["init_bbox"]
    for number, path in enumerate(sequence.frames):
        try:
            image = read_image(path)
        except UserError as error:
            raise UserError(f"frame {number + 1} of {len(sequence.frames)}: {error}") from None
        if number == 0:
            try:
                result = tracker.initialize(image, check_first_box(first_box, image))
            except ValueError as error:
                raise UserError(f"{sequence.annotation_path}: {error}") from error
        else:
            result = tracker.track(image)
        if not np.isfinite(result.box).all():
            raise RuntimeError(f"frame {number + 1}: the tracker answered a box that is not finite: {result.box}")
        boxes[number], times[number] = result.box, result.time
        if on_frame is not None:
            on_frame(number, image, result)
    return RawResult(boxes, times)


def run_dataset(
    sequences: list[Sequence],
    runs: list[TrackerRun],
    results_root: Path,
    *,
    force: bool = False,
    debug: bool = False,
    overrides: dict[str, Any] | None = None,
) -> list[Failure]:
    """Run trackers on sequences and write their raw results under `results_root`.

    A complete result of an earlier run with the same parameters and weights is kept; a half or stale one is redone.
    A sequence that fails is recorded and the others go on.

    Args:
        sequences: from `get_dataset`.
        runs: from `trackerlist`.
        results_root: see `TrackerRun.result_folder`.
        force: track again even where a complete result exists.
        debug: print a line a frame and stop at the first failure, with its traceback.
        overrides: fields of the parameters to replace, for all runs.

    Returns:
        The failures, empty where all went well; `report_failures` prints them.

    Raises:
        UserError: unknown tracker or parameter, or no space left for a result.
    """
    failures = []
    for run in runs:
        params = load_parameters(run.parameter_name, run.name, **(overrides or {}))
        tracker = create_tracker(run.name, params)
        folder = run.result_folder(results_root)
        todo = _to_track(sequences, run, params, tracker, folder, force)
        if not todo:
            continue
        with progress_bar(sum(len(sequence.frames) for sequence, _ in todo), run.label) as bar:
            for sequence, description in todo:
                bar.set_postfix_str(sequence.name)
                failure = _track_and_save(tracker, run, sequence, folder, description, bar, debug)
                if failure is not None:
                    failures.append(failure)
    return failures


def report_failures(failures: list[Failure]) -> None:
    """Print every failure on stderr, with its traceback where the message does not say all."""
    for failure in failures:
        if failure.details is not None:
            print(failure.details, file=sys.stderr)
        print(f"failed: {failure.run.label} on {failure.sequence}: {failure.message}", file=sys.stderr)
    if failures:
        print(f"{len(failures)} sequence(s) failed; the results of the others are kept", file=sys.stderr)


def _to_track(
    sequences: list[Sequence], run: TrackerRun, params: Any, tracker: Tracker, folder: Path, force: bool
) -> list[tuple[Sequence, dict[str, Any]]]:
    """The sequences without a usable result, each with the description that its result will carry."""
    weights = getattr(tracker, "weights_sha256", None)
    todo, kept = [], 0
    for sequence in sequences:
        description = describe_run(run, params, weights, sequence)
        reason = "" if force else why_redo(folder, description)
        if reason is None:
            kept += 1
            continue
        if reason:
            tqdm.write(f"{run.label}: {sequence.name} is tracked again: {reason}", file=sys.stderr)
        todo.append((sequence, description))
    if kept:
        print(f"{run.label}: {kept} complete result(s) kept in {folder} (--force tracks them again)", file=sys.stderr)
    return todo


def _track_and_save(
    tracker: Tracker,
    run: TrackerRun,
    sequence: Sequence,
    folder: Path,
    description: dict[str, Any],
    bar: tqdm,
    debug: bool,
) -> Failure | None:
    done = 0

    def on_frame(number: int, image: np.ndarray, result: TrackResult) -> None:
        nonlocal done
        done += 1
        bar.update()
        if debug:
            box = " ".join(f"{value:8.2f}" for value in result.box)
            ms = 1000 * result.time
            tqdm.write(f"{sequence.name} {number + 1:5d}  {box}  {result.score:7.3f}  {result.flag:13s} {ms:7.1f} ms")

    try:
        result = run_sequence(tracker, sequence, on_frame)
    except UserError as error:
        return _failure(run, sequence, error, None, bar, len(sequence.frames) - done)
    except Exception as error:
        # Whatever a tracker raises is reported at the end; the other sequences go on.
        if debug:
            raise
        return _failure(run, sequence, error, traceback.format_exc(), bar, len(sequence.frames) - done)
    try:
        save_result(folder, result, description)
    except OSError as error:
        if is_disk_full(error):
            kept = "the finished sequences are kept: make room and run the same command again"
            raise disk_full(folder / f"{sequence.name}.txt", kept) from error
        raise
    return None


def _failure(
    run: TrackerRun, sequence: Sequence, error: Exception, details: str | None, bar: tqdm, missing: int
) -> Failure:
    bar.total = (bar.total or 0) - missing
    bar.refresh()
    message = str(error) if details is None else f"{type(error).__name__}: {error}"
    return Failure(run, sequence.name, message, details)
