"""Where a tracker does worst: its sequences, their frames with all boxes drawn, and the overlap over time."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ltr.errors import UserError, unknown_name
from pytracking.analysis.extract import Scores
from pytracking.analysis.metrics import box_overlap
from pytracking.analysis.plots import tracker_style
from pytracking.comparison import draw_frame
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.results import load_result
from pytracking.evaluation.tracker import TrackerRun
from pytracking.visualise import ANNOTATION_COLOUR, COLOURS, add_title, contact_sheet, resize_to_width, with_legend

_CELL = 400


def worst_sequences(scores: Scores, tracker: str, count: int = 3) -> list[str]:
    """Names of the sequences on which a tracker's headline figure is lowest, the worst first.

    Args:
        scores: from `extract_scores`.
        tracker: label of one of its trackers.
        count: how many.

    Raises:
        UserError: no tracker of that label.
    """
    if tracker not in scores.trackers:
        raise unknown_name("tracker", tracker, scores.trackers)
    order = np.argsort(scores.headline[:, scores.trackers.index(tracker)], kind="stable")
    return [scores.sequences[number] for number in order[:count]]


def worst_frames(predicted: np.ndarray, annotated: np.ndarray, count: int = 4) -> list[int]:
    """The frame of lowest overlap in each of `count` equal stretches of a sequence, numbers from 0.

    The first frame, which is given, and frames without an annotated box are left out; a stretch of nothing else
    has no frame.

    Args:
        predicted, annotated: [T, 4] (x, y, w, h) in pixels.
        count: number of stretches.
    """
    overlap = np.where(_has_box(annotated), box_overlap(predicted, annotated), np.inf)
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
    boxes = _boxes(sequence, runs, results)
    cells = []
    for number in worst_frames(boxes[0], sequence.ground_truth_rect, count):
        cell = resize_to_width(draw_frame(sequence, number, boxes), _CELL)
        overlap = float(box_overlap(boxes[0, number, None], sequence.ground_truth_rect[number, None])[0])
        add_title(cell, f"{sequence.name} {number + 1}/{len(sequence.frames)}, IoU {overlap:.2f}")
        cells.append(cell)
    if not cells:
        raise UserError(f"{sequence.annotation_path}: no annotated frame after the first one")
    legend = [(run.label, COLOURS[k % len(COLOURS)]) for k, run in enumerate(runs)]
    return with_legend(contact_sheet([cells]), [*legend, ("annotation", ANNOTATION_COLOUR)])


def draw_overlap(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> Figure:
    """Every run's overlap with the annotation in each frame. Arguments and errors as for `draw_worst_frames`."""
    boxes = _boxes(sequence, runs, results)
    figure = Figure(figsize=(6.4, 2.3), layout=ConstrainedLayoutEngine())
    axes = figure.add_subplot()
    numbers = np.arange(1, len(sequence.frames) + 1)
    for k in reversed(range(len(runs))):
        overlap = box_overlap(boxes[k], sequence.ground_truth_rect)
        shown = np.where(_has_box(sequence.ground_truth_rect), overlap, np.nan)
        style, colour = tracker_style(k)
        axes.plot(numbers, shown, style, color=colour, linewidth=2.0 if k == 0 else 1.2, label=runs[k].label)
    axes.set_xlim(1, len(numbers))
    axes.set_ylim(0, 1)
    axes.set_xlabel("Frame", fontsize=9)
    axes.set_ylabel("Overlap", fontsize=9)
    axes.set_title(sequence.name, fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _has_box(annotated: np.ndarray) -> np.ndarray:
    """[T] bool, whether a frame's annotation [T, 4] is a box."""
    mask: np.ndarray = np.isfinite(annotated).all(axis=1) & (annotated[:, 2:] > 0).all(axis=1)
    return mask


def _boxes(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> np.ndarray:
    """[K, T, 4] of the runs, checked."""
    if not sequence.has_ground_truth:
        raise UserError(f"{sequence.annotation_path}: only the first box is known")
    boxes = []
    for run in runs:
        folder = run.result_folder(results)
        boxes.append(load_result(folder, sequence).boxes)
        if len(boxes[-1]) != len(sequence.frames):
            raise UserError(
                f"{folder / sequence.name}.txt: {len(boxes[-1])} boxes for {len(sequence.frames)} frames; "
                "run the tracker again"
            )
    return np.stack(boxes)
