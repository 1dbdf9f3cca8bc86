"""Tracking one target in a stream of frames, keeping an annotated video and its boxes whatever ends the stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ltr.admin.files import write_text
from ltr.dataset.boxfile import format_boxes
from ltr.errors import UserError, disk_full, is_disk_full
from pytracking.progress import progress_bar
from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.video import video_writer
from pytracking.visualise import COLOURS, add_title, draw_box

_LOST_COLOUR = "#999999"


@dataclass(frozen=True)
class Tracked:
    """What was tracked and kept.

    Attributes:
        frames: number of frames, the first included.
        seconds: that the tracker took, reading, drawing and writing excluded.
        video: the annotated video, None where it could not be written.
        boxes: the text file with a box a frame, None where no frame was tracked.
        stopped_by: what ended the stream early; None at its end.
    """

    frames: int
    seconds: float
    video: Path | None
    boxes: Path | None
    stopped_by: BaseException | None

    @property
    def kept(self) -> str:
        """One line: how many frames are kept, and where."""
        files = [str(path) for path in (self.video, self.boxes) if path is not None]
        if not files:
            return "nothing was tracked"
        return f"{self.frames} frame{'' if self.frames == 1 else 's'} kept in {' and '.join(files)}"


def track_stream(
    frames: Iterable[np.ndarray],
    tracker: Tracker,
    box: Box,
    stem: Path,
    *,
    label: str,
    rate: Fraction,
    total: int | None = None,
    show: Callable[[np.ndarray], bool] | None = None,
) -> Tracked:
    """Track until the frames end, an error or Ctrl-C, and write `<stem>.mp4` and `<stem>.txt`.

    Args:
        frames: uint8 RGB images [H, W, 3]; the first one is what `box` belongs to.
        tracker: initialised here.
        box: (x, y, w, h) in pixels of the first frame.
        stem: path of the files without their suffix.
        label: the tracker's name on the video and the progress bar.
        rate: frames a second of the video.
        total: number of frames, if known.
        show: called with every annotated frame; answers whether to go on.

    Returns:
        What was kept. What ended the stream early is not raised but stands in `stopped_by`, after all was written.

    Raises:
        UserError: no space is left even for the boxes.
        OSError: the video or the boxes cannot be written for another reason than space.
    """
    results: list[TrackResult] = []
    video_file, box_file = stem.with_name(f"{stem.name}.mp4"), stem.with_name(f"{stem.name}.txt")
    video_lost: BaseException | None = None
    stopped: BaseException | None = None
    try:
        with video_writer(video_file, rate) as add, progress_bar(total, label) as bar:
            try:
                for image in frames:
                    results.append(tracker.track(image) if results else tracker.initialize(image, box))
                    drawn = annotate(image, results[-1], label, len(results))
                    add(drawn)
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
        if results:
            _write_boxes(box_file, results)
    seconds = sum(result.time for result in results)
    video = video_file if results and video_lost is None else None
    return Tracked(len(results), seconds, video, box_file if results else None, stopped)


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


def annotate(image: np.ndarray, result: TrackResult, label: str, number: int) -> np.ndarray:
    """A copy of the frame with the tracker's box, its score, and the frame's number (from 1)."""
    drawn = image.copy()
    if result.flag == "not_found":
        draw_box(drawn, result.box, _LOST_COLOUR, 1, f"{label}: not found")
    else:
        draw_box(drawn, result.box, COLOURS[0], 3, f"{label} {result.score:.2f}")
    add_title(drawn, f"{number}")
    return drawn


def _write_boxes(path: Path, results: list[TrackResult]) -> None:
    try:
        write_text(path, format_boxes(np.array([result.box for result in results])))
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path, "nothing could be kept; make room and run it again") from error
        raise
