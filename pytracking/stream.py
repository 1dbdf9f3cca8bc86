"""Tracking in a stream of frames, read while the last one is tracked, keeping an annotated video and the boxes."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Listing
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ltr.admin.files import write_json, write_text
from ltr.admin.inputs import read_object
from ltr.data.video import VideoFrame
from ltr.dataset.boxfile import format_boxes
from ltr.errors import UserError, disk_full, is_disk_full
from pytracking.many import MultiTracker
from pytracking.progress import progress_bar
from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.video import video_writer
from pytracking.visualise import COLOURS, add_title, draw_box, draw_spread, heat_map

_LOST_COLOUR = "#999999"
_SUFFIXES = (".mp4", ".txt", ".csv", ".json")
_COLUMNS = ("frame", "seconds", "id", "x", "y", "w", "h", "score", "flag", "time")


@dataclass(frozen=True)
class Tracked:
    """What was tracked and kept.

    Attributes:
        frames: number of frames, the first included.
        seconds: time that the tracker took, reading, drawing and writing excluded.
        video: the annotated video, None where it could not be written.
        boxes: the text file with a box a frame, or the table of several targets; None where no frame was tracked.
        stopped_by: what ended the stream early; None at its end.
        skipped: number of frames that were left out because the tracker was busy.
    """

    frames: int
    seconds: float
    video: Path | None
    boxes: Path | None
    stopped_by: BaseException | None
    skipped: int = 0

    @property
    def kept(self) -> str:
        """One line: how many frames are kept, and where."""
        files = [str(path) for path in (self.video, self.boxes) if path is not None]
        if not files:
            return "nothing was tracked"
        skipped = f" ({self.skipped} skipped)" if self.skipped else ""
        return f"{self.frames} frame{'' if self.frames == 1 else 's'}{skipped} kept in {' and '.join(files)}"


@dataclass(frozen=True)
class _Step:
    """A tracked frame: its number, its time in seconds, and the answer for each target, counted from 1."""

    number: int
    seconds: float
    results: Mapping[int, TrackResult]


def choose_stem(folder: Path, name: str, source: str | None) -> Path:
    """The path without suffix for the files of a run, which no other input's files have; `<stem>.json` claims it.

    The name is `name`, or `name_2`, `name_3`, ... where that belongs to another input, as with two videos of the same
    name from different folders. The files of an earlier run on the same input are written again.

    Args:
        folder: where the files go.
        name: the name wanted.
        source: the input, such as the full path of a video; None for one that never comes again, such as a camera.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        stem = folder / (name if number == 1 else f"{name}_{number}")
        manifest = stem.with_name(f"{stem.name}.json")
        if source is not None and _manifest(manifest).get("source") == source:
            return stem
        if any(stem.with_name(stem.name + suffix).exists() for suffix in _SUFFIXES):
            continue
        try:
            # Only one of two runs that start at once makes the file.
            with open(manifest, "x", encoding="utf-8") as file:
                json.dump({"source": source}, file)
        except FileExistsError:
            continue
        except OSError as error:
            # A write that fails, as on a full disk, names no file by itself, and an empty claim would take the name.
            manifest.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(manifest)) from error
        return stem
    raise AssertionError("numbers do not end")


def _manifest(path: Path) -> dict[str, Any]:
    """What stands in a manifest, {} where there is none or it is broken; the claim of a run has its source alone."""
    try:
        return read_object(path)
    except UserError:
        return {}


def track_stream(
    frames: Iterable[VideoFrame],
    tracker: Tracker | MultiTracker,
    box: Box | Listing[Box],
    stem: Path,
    *,
    label: str,
    rate: Fraction,
    total: int | None = None,
    show: Callable[[np.ndarray], bool] | None = None,
    described: Mapping[str, Any] | None = None,
    announce: bool = False,
    uncertainty: bool = False,
    score_map: Callable[[], np.ndarray | None] | None = None,
) -> Tracked:
    """Track until the frames end, an error or Ctrl-C, and write `<stem>.mp4`, `.txt`, `.csv` and, last, `.json`.

    `.txt` has a box a line, a file for each of several targets (`<stem>_target1.txt`); `.csv` also the number and the
    second of each frame, the target, score, flag and the tracker's time; `.json` what was run. Where the disk is full,
    the boxes alone are kept.

    Args:
        frames: frames; the first one is what `box` belongs to.
        tracker: initialised here; a `MultiTracker` without targets for several.
        box: (x, y, w, h) in pixels of the first frame, or a list of them for a `MultiTracker`.
        stem: path of the files without their suffix.
        label: the tracker's name on the video and the progress bar.
        rate: frames a second of the video.
        total: number of frames, if known.
        show: called with every annotated frame; answers whether to go on.
        described: what was run, for `.json`; no such file where it is left out.
        announce: say on stderr when the target is lost and found again.
        uncertainty: draw how sure each box is.
        score_map: answers the score map [H, W] of the last frame, to be drawn in a corner.

    Returns:
        What was kept. What ended the stream early is not raised but stands in `stopped_by`, after all was written.

    Raises:
        UserError: no space is left even for the boxes.
        OSError: the video or the boxes cannot be written for another reason than space.
    """
    steps: list[_Step] = []
    video_file = stem.with_name(f"{stem.name}.mp4")
    video_lost: BaseException | None = None
    stopped: BaseException | None = None
    try:
        with video_writer(video_file, rate) as add, progress_bar(total, label) as bar:
            try:
                for frame in frames:
                    before = steps[-1].results if steps else {}
                    results = _answers(tracker, frame.image, None if steps else box)
                    steps.append(_Step(frame.number, frame.time, results))
                    scores = None if score_map is None else score_map()
                    drawn = annotate(frame.image, results, label, frame.number, uncertainty, scores)
                    add(drawn, frame.time, frame.duration)
                    if announce:
                        _announce(before, steps[-1])
                    bar.update()
                    if show is not None and not show(drawn):
                        break
            except (UserError, ValueError, RuntimeError, cv2.error, KeyboardInterrupt) as error:
                # Raised again by `finish`, when the video has been completed.
                stopped = error
    except OSError as error:
        if not is_disk_full(error):
            raise
        stopped = video_lost = disk_full(video_file, "the video is given up")
    finally:
        skipped = steps[-1].number - steps[0].number + 1 - len(steps) if steps else 0
        facts = {"frames": len(steps), "skipped": skipped, "rate": float(rate)}
        boxes = _write(stem, steps, video_lost is not None, None if described is None else {**described, **facts})
    seconds = sum(result.time for step in steps for result in step.results.values())
    video = video_file if steps and video_lost is None else None
    return Tracked(len(steps), seconds, video, boxes, stopped, skipped)


def finish(tracked: Tracked, started: float) -> None:
    """Print what was kept, or raise what ended the stream early, saying what was kept.

    Args:
        tracked: from `track_stream`.
        started: `time.perf_counter()` at the start.

    Raises:
        UserError: the input or the disk ended it; the message names what was kept.
        KeyboardInterrupt, Exception: anything else, after what was kept was printed.
    """
    error = tracked.stopped_by
    if isinstance(error, (UserError, ValueError)):
        raise UserError(f"{error}; {tracked.kept}") from error
    print(tracked.kept)
    if error is not None:
        raise error
    elapsed = time.perf_counter() - started
    speed = tracked.frames / max(tracked.seconds, 1e-9)
    print(f"{tracked.frames} frames in {elapsed:.1f} s; the tracker alone: {speed:.1f} frames a second")


def annotate(
    image: np.ndarray,
    results: Mapping[int, TrackResult],
    label: str,
    number: int,
    uncertainty: bool = False,
    scores: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of the frame with the boxes of its targets, their scores, and the frame's number (from 1).

    A target keeps its colour; that of one that is lost is grey.

    Args:
        image: [H, W, 3] uint8 RGB.
        results: the answer for each target, counted from 1.
        uncertainty: draw an ellipse of two standard deviations of the centre, where a result has them.
        scores: [H, W] a score map for the lower right corner.
    """
    drawn = image.copy()
    for target, result in results.items():
        name = label if len(results) == 1 else f"{target}"
        if result.flag == "not_found":
            draw_box(drawn, result.box, _LOST_COLOUR, 1, f"{name}: lost")
        else:
            draw_box(drawn, result.box, COLOURS[(target - 1) % len(COLOURS)], 3, f"{name} {result.score:.2f}")
        if uncertainty and result.uncertainty is not None:
            sure = result.uncertainty
            draw_spread(drawn, result.box, (sure.cx, sure.cy), COLOURS[(target - 1) % len(COLOURS)])
    if scores is not None:
        side = min(drawn.shape[:2]) // 4
        drawn[-side:, -side:] = heat_map(scores, side)
    add_title(drawn, f"{number}")
    return drawn


def _answers(tracker: Tracker | MultiTracker, image: np.ndarray, box: Any) -> dict[int, TrackResult]:
    """The answer for each target, counted from 1; it is started where there is a `box`."""
    if isinstance(tracker, MultiTracker):
        found = tracker.track(image).items() if box is None else [tracker.start(image, one) for one in box]
        return {target + 1: result for target, result in found}
    return {1: tracker.track(image) if box is None else tracker.initialize(image, box)}


def _announce(before: Mapping[int, TrackResult], step: _Step) -> None:
    for target, result in step.results.items():
        lost = result.flag == "not_found"
        if target in before and lost != (before[target].flag == "not_found"):
            which = "the target" if len(step.results) == 1 else f"target {target}"
            tqdm.write(f"{step.seconds:.1f} s: {which} is {'lost' if lost else 'found again'}")


def _write(stem: Path, steps: list[_Step], boxes_alone: bool, described: Mapping[str, Any] | None) -> Path | None:
    """Write the boxes, and table and description unless the disk is full; the file of the boxes."""
    targets = list(steps[0].results) if steps else []
    path = stem.with_name(f"{stem.name}.txt")
    try:
        for target in targets:
            if len(targets) > 1:
                path = stem.with_name(f"{stem.name}_target{target}.txt")
            write_text(path, format_boxes(np.array([step.results[target].box for step in steps])))
        if steps and not boxes_alone:
            write_text(stem.with_name(f"{stem.name}.csv"), _table(steps))
            if described is not None:
                write_json(stem.with_name(f"{stem.name}.json"), described)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path, "nothing could be kept; make room and run it again") from error
        raise
    finally:
        manifest = stem.with_name(f"{stem.name}.json")
        if list(_manifest(manifest)) == ["source"]:
            manifest.unlink()
    table = stem.with_name(f"{stem.name}.csv")
    return None if not steps else table if len(targets) > 1 and not boxes_alone else path


def _table(steps: list[_Step]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for step in steps:
        for target, result in step.results.items():
            box = [f"{value:.4f}" for value in result.box]
            score, took = f"{result.score:.6g}", f"{result.time:.6f}"
            writer.writerow([step.number, f"{step.seconds:.6f}", target, *box, score, result.flag, took])
    return text.getvalue()


_AHEAD = 3
# How often a waiting thread checks that it is still wanted; with a limit Ctrl-C is noticed on every system.
_TICK = 0.1


@contextmanager
def read_ahead(
    frames: Iterable[VideoFrame], live: bool = False, recorded_from: float | None = None
) -> Iterator[Iterator[VideoFrame]]:
    """Read frames in a thread of their own while the block works on those before; the thread ends with the block.

    Args:
        frames: source of the frames; an error there is raised in the block, after the frames before it.
        live: keep only the newest frame, so that a slow block skips frames rather than lags behind; the last frame is
            never skipped. Otherwise up to three frames wait, and none is skipped.
        recorded_from: hold each frame of a recording back until a camera would have delivered it, if this time of the
            recording, in seconds, were now.
    """
    waiting: deque[VideoFrame] = deque(maxlen=1 if live else None)
    changed = threading.Condition()
    ended, unwanted = threading.Event(), threading.Event()
    begun = time.perf_counter()

    def read() -> None:
        try:
            for frame in frames:
                if recorded_from is not None:
                    unwanted.wait(max(0.0, frame.time - recorded_from - (time.perf_counter() - begun)))
                with changed:
                    while not live and len(waiting) >= _AHEAD and not unwanted.is_set():
                        changed.wait(_TICK)
                    waiting.append(frame)
                    changed.notify_all()
                if unwanted.is_set():
                    return
        finally:
            with changed:
                ended.set()
                changed.notify_all()

    with ThreadPoolExecutor(1, "frames") as pool:
        reading = pool.submit(read)

        def take() -> Iterator[VideoFrame]:
            while True:
                with changed:
                    while not waiting and not ended.is_set():
                        changed.wait(_TICK)
                    if not waiting:
                        break
                    frame = waiting.popleft()
                    changed.notify_all()
                yield frame
            reading.result()

        try:
            yield take()
        finally:
            unwanted.set()
