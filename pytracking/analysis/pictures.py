"""Pictures of trackers' boxes on frames: a video, sheets of frames, the frames where a tracker does worst."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from ltr.admin.files import whole_file
from ltr.dataset.boxfile import positive
from ltr.errors import UserError
from pytracking.analysis.metrics import box_overlap
from pytracking.analysis.plots import new_figure, plain_axes, plain_text, tracker_style
from pytracking.analysis.scores import Scores
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
_CELL_WIDTH = 400


def write_video(path: Path, sequences: Listing[Sequence], runs: Listing[TrackerRun], results: Path) -> Path:
    """All sequences one after the other, in one H.264 video; all must have the size of the first one's frames.

    Args:
        path: the video.
        sequences: sequences with their annotations.
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
        cells = [resize_to_width(draw_frame(sequence, number, boxes), _CELL_WIDTH) for number in numbers]
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
        sequence: sequence of the frame.
        number: number of the frame, from 0.
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


def worst_sequences(scores: Scores, tracker: str, count: int = 3) -> list[str]:
    """Names of the sequences on which a tracker's headline metric is lowest, the worst first.

    Args:
        scores: from `extract_scores`.
        tracker: label of one of its trackers.
        count: how many.

    Raises:
        UserError: no tracker of that label.
    """
    order = np.argsort(scores.headline[:, scores.column(tracker)], kind="stable")
    return [scores.sequences[number] for number in order[:count]]


def worst_frames(predicted: np.ndarray, annotated: np.ndarray, count: int = 4) -> list[int]:
    """The frame of lowest overlap in each of `count` equal stretches of a sequence, numbers from 0.

    The first frame, which is given, and frames without an annotated box are left out; a stretch of nothing else
    has no frame.

    Args:
        predicted, annotated: [T, 4] (x, y, w, h) in pixels.
        count: number of stretches.
    """
    overlap = np.where(positive(annotated), box_overlap(predicted, annotated), np.inf)
    overlap[:1] = np.inf
    stretches = np.array_split(np.arange(len(overlap)), count)
    return [
        int(stretch[np.argmin(overlap[stretch])])
        for stretch in stretches
        if len(stretch) and np.isfinite(overlap[stretch]).any()
    ]


def draw_worst_frames(sequence: Sequence, runs: Listing[TrackerRun], results: Path, count: int = 4) -> np.ndarray:
    """A row of the first run's worst frames, with every run's box and the annotation, and a legend.

    Args:
        sequence: with its annotation and frames on disk.
        runs: the first one is drawn thick and chooses the frames; the colours are those of the plots.
        results: folder of raw results.
        count: how many frames at most.

    Returns:
        image: [H, W, 3] uint8 RGB.

    Raises:
        UserError: a result is missing, damaged or not of the sequence's length, or a frame cannot be read.
    """
    boxes = _annotated_boxes(sequence, runs, results)
    cells = []
    for number in worst_frames(boxes[0], sequence.ground_truth_rect, count):
        cell = resize_to_width(draw_frame(sequence, number, boxes), _CELL_WIDTH)
        overlap = float(box_overlap(boxes[0, number, None], sequence.ground_truth_rect[number, None])[0])
        add_title(cell, f"{_title(sequence, number)}, IoU {overlap:.2f}")
        cells.append(cell)
    if not cells:
        raise UserError(f"{sequence.annotation_path}: no annotated frame after the first one")
    return with_legend(contact_sheet([cells]), _legend(runs))


def draw_overlap(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> Figure:
    """Every run's overlap with the annotation in each frame. Arguments and errors as for `draw_worst_frames`."""
    boxes = _annotated_boxes(sequence, runs, results)
    figure, axes = new_figure((6.4, 2.3))
    numbers = np.arange(1, len(sequence.frames) + 1)
    for k in reversed(range(len(runs))):
        overlap = box_overlap(boxes[k], sequence.ground_truth_rect)
        shown = np.where(positive(sequence.ground_truth_rect), overlap, np.nan)
        style, colour = tracker_style(k)
        axes.plot(
            numbers, shown, style, color=colour, linewidth=2.0 if k == 0 else 1.2, label=plain_text(runs[k].label)
        )
    axes.set(xlim=(1, len(numbers)), ylim=(0, 1))
    plain_axes(axes, sequence.name, "Frame", "Overlap")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _title(sequence: Sequence, number: int) -> str:
    return f"{sequence.name} {number + 1}/{len(sequence.frames)}"


def _boxes(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> np.ndarray:
    """[K, T, 4] of the runs, a box a frame."""
    boxes = [load_result(run.result_folder(results), sequence).boxes for run in runs]
    for run, rows in zip(runs, boxes):
        if len(rows) != len(sequence.frames):
            file = run.result_folder(results) / f"{sequence.name}.txt"
            raise UserError(f"{file}: {len(rows)} boxes for {len(sequence.frames)} frames; run the tracker again")
    return np.stack(boxes)


def _annotated_boxes(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> np.ndarray:
    """[K, T, 4] of the runs on a sequence that is annotated throughout."""
    if not sequence.has_ground_truth:
        raise UserError(f"{sequence.annotation_path}: only the first box is known")
    return _boxes(sequence, runs, results)


def _legend(runs: Listing[TrackerRun]) -> list[tuple[str, str]]:
    entries = [(run.label, COLOURS[k % len(COLOURS)]) for k, run in enumerate(runs)]
    return [*entries, ("annotation", ANNOTATION_COLOUR)]
