"""Playback of the HTML report: which sequences, their frames as small JPEGs within a budget, boxes and overlaps."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from collections.abc import Sequence as Listing
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ltr.data.image import VIDEO_SUFFIXES
from ltr.errors import UserError, unknown_name
from pytracking.analysis.metrics import box_overlap
from pytracking.analysis.report.data import pack
from pytracking.analysis.scores import Scores
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.results import load_result
from pytracking.evaluation.tracker import TrackerRun
from pytracking.progress import progress_bar

DEFAULT_CLIPS = 6
_QUALITY = 80
_SAMPLES = 3


@dataclass(frozen=True)
class Clip:
    """Every `stride`-th frame of a sequence.

    Attributes:
        sequence: name of the sequence.
        size: (width, height) of its images in pixels, in which the boxes are.
        stride: 1 where every frame is there.
        jpegs: the frames 0, stride, 2 * stride, ..., scaled down.
    """

    sequence: str
    size: tuple[int, int]
    stride: int
    jpegs: list[bytes]

    @property
    def encoded_bytes(self) -> int:
        """What its frames take in the page, in base64 with quotes and commas."""
        return sum(_in_page(jpeg) for jpeg in self.jpegs)


def choose_clips(scores: Scores, sequences: Listing[Sequence], play: Listing[str]) -> tuple[list[Sequence], str]:
    """The sequences to play, and a note where frames are missing.

    Args:
        scores: scores of the same sequences, or fewer.
        sequences: with their frames.
        play: names of sequences; 'all'; 'none'; or nothing for up to six: those with the lowest metric of the first
            tracker, and those on which trackers differ most.

    Raises:
        UserError: an unknown name, or one whose frames are missing.
    """
    known = {sequence.name: sequence for sequence in sequences if sequence.name in set(scores.sequences)}
    if list(play) == ["none"]:
        return [], ""
    if play and list(play) != ["all"]:
        for name in play:
            if name not in known:
                raise unknown_name("sequence to play", name, [*known, "all", "none"])
            if not has_frames(known[name]):
                raise UserError(
                    f"{known[name].frames[0]}: no such frame, so '{name}' cannot be played; "
                    "say where the frames lie with --dataset_path, or leave it out of --play"
                )
        return [known[name] for name in dict.fromkeys(play)], ""
    present = {name for name, sequence in known.items() if has_frames(sequence)}
    missing = len(known) - len(present)
    note = f"the frames of {missing} of {len(known)} sequences are not on disk: no playback of these" if missing else ""
    if play:
        return [sequence for name, sequence in known.items() if name in present], note
    return [known[name] for name in _telling(scores) if name in present][:DEFAULT_CLIPS], note


def has_frames(sequence: Sequence) -> bool:
    """Whether the first and the last frame exist, as image files or as frames of a video file."""
    return all(
        frame.exists() or (frame.parent.suffix.lower() in VIDEO_SUFFIXES and frame.parent.is_file())
        for frame in (sequence.frames[0], sequence.frames[-1])
    )


def _telling(scores: Scores) -> list[str]:
    """Names of the sequences: in turn the next worst of the first tracker and the next where trackers differ most."""
    first = np.nan_to_num(scores.headline[:, 0], nan=np.inf)
    spread = np.nan_to_num(np.ptp(scores.headline, axis=1), nan=-np.inf)
    orders = [np.argsort(first, kind="stable"), np.argsort(-spread, kind="stable")]
    mixed = [int(row) for pair in zip(*orders) for row in pair]
    return [scores.sequences[row] for row in dict.fromkeys(mixed)]


def embed_clips(
    sequences: Listing[Sequence], height: int, budget: int, unreadable: dict[str, str] | None = None
) -> list[Clip]:
    """Encode frames so that all clips together take at most `budget` bytes in the page.

    A sequence that is cheaper than its equal share leaves the rest to the others; one that needs more is thinned out to
    every k-th frame.

    Args:
        sequences: with frames on disk.
        height: height of the frames in pixels; smaller ones are not enlarged.
        budget: in bytes.
        unreadable: dictionary to which sequences with a frame that cannot be read are added, with what is wrong;
            they are left out. Such a frame is an error where it is left out.

    Raises:
        UserError: a frame cannot be read, or the budget does not hold one frame of each.
    """
    estimates: dict[str, float] = {}
    for sequence in sequences:
        with _named(sequence, unreadable):
            # Bytes that a frame takes in the page, the mean of a few.
            numbers = {len(sequence.frames) * part // _SAMPLES for part in range(_SAMPLES)}
            sizes = [_in_page(_encode(sequence, number, height)[0]) for number in sorted(numbers)]
            estimates[sequence.name] = float(np.mean(sizes))
    readable = [sequence for sequence in sequences if sequence.name in estimates]
    clips: dict[str, Clip] = {}
    cheapest_first = sorted(readable, key=lambda sequence: estimates[sequence.name] * len(sequence.frames))
    left = budget
    with progress_bar(sum(len(sequence.frames) for sequence in readable), "embedding") as bar:
        for number, sequence in enumerate(cheapest_first):
            share = left // (len(readable) - number)
            stride = max(1, math.ceil(estimates[sequence.name] * len(sequence.frames) / max(share, 1)))
            clip = None
            with _named(sequence, unreadable):
                clip = _encode_clip(sequence, height, min(stride, len(sequence.frames)), bar.update)
            if clip is None:
                continue
            # Every second frame is dropped until it fits.
            while clip.encoded_bytes > share and len(clip.jpegs) > 1:
                clip = Clip(clip.sequence, clip.size, 2 * clip.stride, clip.jpegs[::2])
            if clip.encoded_bytes > share:
                raise UserError(
                    f"{budget / 1e6:.1f} MB are too few for the frames of {len(readable)} sequences; "
                    "raise --max-megabytes, lower --frame-height, or name fewer after --play"
                )
            left -= clip.encoded_bytes
            clips[sequence.name] = clip
    return [clips[sequence.name] for sequence in sequences if sequence.name in clips]


@contextmanager
def _named(sequence: Sequence, unreadable: dict[str, str] | None) -> Iterator[None]:
    """Add what cannot be read of a sequence to `unreadable`, where there is such a dictionary."""
    try:
        yield
    except UserError as error:
        if unreadable is None:
            raise
        unreadable[sequence.name] = f"{error} (scored, but not played)"


def _encode_clip(sequence: Sequence, height: int, stride: int, progress: Any) -> Clip:
    jpegs, size = [], (0, 0)
    for number in range(0, len(sequence.frames), stride):
        jpeg, size = _encode(sequence, number, height)
        jpegs.append(jpeg)
        progress(min(stride, len(sequence.frames) - number))
    return Clip(sequence.name, size, stride, jpegs)


def _encode(sequence: Sequence, number: int, height: int) -> tuple[bytes, tuple[int, int]]:
    """JPEG of a frame scaled to `height`, and the (width, height) that it had."""
    image = sequence.image(number)
    rows, columns = image.shape[:2]
    if rows > height:
        image = cv2.resize(image, (max(1, round(columns * height / rows)), height), interpolation=cv2.INTER_AREA)
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {sequence.frames[number]}")
    return data.tobytes(), (columns, rows)


def _in_page(jpeg: bytes) -> int:
    return 4 * math.ceil(len(jpeg) / 3) + 3


def clip_tracks(sequence: Sequence, runs: Listing[TrackerRun], results: Path) -> dict[str, Any]:
    """Boxes and overlaps of a sequence, as JSON data.

    Args:
        sequence: with its annotation.
        runs: K runs, one a tracker.
        results: folder of raw results.

    Returns:
        'boxes' [K, T, 4] as they stand in the results (NaN where there is none), 'annotation' [T, 4] (NaN where the
        target is absent), 'overlap' [K, T] (NaN where the target is absent), each as `pack` makes it.
    """
    annotated = sequence.ground_truth_rect.copy()
    absent = ~(annotated[:, 2:] > 0).all(axis=1)
    if sequence.target_visible is not None:
        absent |= ~sequence.target_visible
    annotated[absent] = np.nan
    boxes = np.full((len(runs), len(annotated), 4), np.nan)
    overlap = np.full((len(runs), len(annotated)), np.nan)
    for k, run in enumerate(runs):
        raw = load_result(run.result_folder(results), sequence).boxes[: len(annotated)]
        boxes[k, : len(raw)] = raw
        overlap[k] = box_overlap(boxes[k], annotated)
    overlap[:, absent] = np.nan
    return {"boxes": pack(boxes), "annotation": pack(annotated), "overlap": pack(overlap)}


def clip_frames(clip: Clip) -> dict[str, Any]:
    """A clip as JSON data: JPEGs in base64."""
    return {"frames": [base64.b64encode(jpeg).decode("ascii") for jpeg in clip.jpegs]}
