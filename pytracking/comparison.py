"""Pictures that compare trackers: a video and a sheet of frames with every tracker's box and the annotation."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ltr.admin.files import whole_file
from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.results import load_result
from pytracking.evaluation.tracker import TrackerRun
from pytracking.progress import progress_bar
from pytracking.video import video_writer
from pytracking.visualise import (
    ANNOTATION_COLOUR,
    COLOURS,
    add_title,
    contact_sheet,
    draw_annotation,
    draw_box,
    resize_to_width,
    with_legend,
)

_RATE = Fraction(20)
_SHEET_FRAMES = 4
_SHEET_CELL = 400


def write_video(path: Path, sequences: Listing[Sequence], runs: Listing[TrackerRun], results: Path) -> Path:
    """All sequences one after the other, in one H.264 video; all must have the size of the first one's frames.

    Args:
        path: the video.
        sequences: with their annotations.
        runs: the first one is drawn thick; the colours are those of the plots.
        results: folder of raw results, complete for these sequences and runs.

    Returns:
        `path`.

    Raises:
        UserError: a result is missing or has not a box a frame, or the frames change size.
        OSError: the video cannot be written.
    """
    total = sum(len(sequence.frames) for sequence in sequences)
    with video_writer(path, _RATE) as add, progress_bar(total, "video") as bar:
        for sequence in sequences:
            boxes = _boxes(sequence, runs, results)
            for number in range(len(sequence.frames)):
                image = draw_frame(sequence, number, boxes)
                add_title(image, _title(sequence, number))
                add(with_legend(image, _legend(runs)))
                bar.update()
    return path


def write_frames(path: Path, sequences: Listing[Sequence], runs: Listing[TrackerRun], results: Path) -> Path:
    """A sheet of four frames a sequence, from its second to its last, as .jpg or .png.

    Arguments and errors as for `write_video`.
    """
    rows = []
    for sequence in sequences:
        boxes = _boxes(sequence, runs, results)
        numbers = np.linspace(1, len(sequence.frames) - 1, _SHEET_FRAMES).round().astype(int).tolist()
        cells = [resize_to_width(draw_frame(sequence, number, boxes), _SHEET_CELL) for number in numbers]
        for number, cell in zip(numbers, cells):
            add_title(cell, _title(sequence, number))
        rows.append(cells)
    sheet = with_legend(contact_sheet(rows), _legend(runs))
    encoded, data = cv2.imencode(path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {path}")
    with whole_file(path) as temporary:
        temporary.write_bytes(data.tobytes())
    return path


def draw_frame(sequence: Sequence, number: int, boxes: np.ndarray) -> np.ndarray:
    """A frame with its annotation (thin, white) and the trackers' boxes, the first one thick and on top.

    Args:
        sequence: whose frame.
        number: of the frame, from 0.
        boxes: [K, T, 4] of the trackers.

    Returns:
        image: [H, W, 3] uint8 RGB.
    """
    image = sequence.image(number)
    for k in reversed(range(len(boxes))):
        draw_box(image, boxes[k, number], COLOURS[k % len(COLOURS)], 4 if k == 0 else 2)
    if sequence.has_ground_truth:
        draw_annotation(image, sequence.ground_truth_rect[number])
    return image


def _title(sequence: Sequence, number: int) -> str:
    return f"{sequence.name} {number + 1}/{len(sequence.frames)}"


def _boxes(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> np.ndarray:
    boxes = [load_result(run.result_folder(results), sequence).boxes for run in runs]
    for run, rows in zip(runs, boxes):
        if len(rows) != len(sequence.frames):
            file = run.result_folder(results) / f"{sequence.name}.txt"
            raise UserError(f"{file}: {len(rows)} boxes for {len(sequence.frames)} frames; run the tracker again")
    return np.stack(boxes)


def _legend(runs: Listing[TrackerRun]) -> list[tuple[str, str]]:
    entries = [(run.label, COLOURS[k % len(COLOURS)]) for k, run in enumerate(runs)]
    return [*entries, ("annotation", ANNOTATION_COLOUR)]
