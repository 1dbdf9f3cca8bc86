"""Sampling of training sequences: which data set, which sequence, which frames."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ltr.admin.inputs import read_object
from ltr.data.image import read_shrunk
from ltr.data.processing import CropProcessing, EmptyCropError, OpenFrame
from ltr.dataset.base import SequenceInfo, TrainingDataset
from ltr.errors import SampleError, UserError

_GAP_GROWTH = 5
_MAX_TRIES = 200
HARD_SAMPLES = "python -m experiments.hard_samples"


@dataclass(frozen=True)
class SampleFrames:
    """Which frames a sample is made of.

    Attributes:
        source: 'data set:sequence', their names.
        dataset, sequence: number of the data set among the sampler's, and of the sequence in it.
        train, test: numbers of the frames that the filter learns from and is judged on.
    """

    source: str
    dataset: int
    sequence: int
    train: tuple[int, ...]
    test: tuple[int, ...]

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> SampleFrames:
        """From a dictionary of the attributes. Raises `TypeError`, `KeyError` or `ValueError` for anything else."""
        dataset, sequence = _numbers([row["dataset"], row["sequence"]])
        return cls(str(row["source"]), dataset, sequence, _numbers(row["train"]), _numbers(row["test"]))


@dataclass(eq=False)
class TrackingSampler(Dataset[dict[str, Any]]):
    """A map-style data set of samples; sample (epoch, i) is a pure function of (seed, epoch, i).

    Args:
        datasets: data sets with their sampling weights.
        processing: turns frames and boxes into crops.
        samples_per_epoch: length.
        max_gap: frames between the base frame of a sample and its others; grows by 5 while there are not enough
            different visible ones.
        least_frames, least_visible: frames of a video, all and visible ones, below which it is not drawn.
        least_still_side: width and height that a still image's object must exceed to be drawn, in pixels.
        num_train_frames, num_test_frames: frames of a sample; the base frame is the first train frame.
        mode: 'causal' (train frames up to the base frame, test frames after it) or 'interval' (all around it).
        seed: decides every draw.
        hard: frames of hard samples (`experiments.hard_samples` finds them), whose crops are drawn anew each time.
        hard_share: share of the samples that are made of them.

    Raises:
        ValueError: no data set with a sequence and a positive weight, an unknown mode, or hard samples of other data.
    """

    datasets: Sequence[tuple[TrainingDataset, float]]
    processing: CropProcessing
    _: KW_ONLY
    samples_per_epoch: int
    max_gap: int
    num_train_frames: int
    num_test_frames: int
    least_frames: int = 2
    least_visible: int = 2
    least_still_side: float = 0
    mode: str = "causal"
    seed: int = 0
    hard: Sequence[SampleFrames] = ()
    hard_share: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("causal", "interval"):
            raise UserError(f"mode must be 'causal' or 'interval', not '{self.mode}'")
        weights = np.array([weight if len(dataset) else 0.0 for dataset, weight in self.datasets], dtype=float)
        if not len(weights) or (weights < 0).any() or weights.sum() <= 0:
            raise UserError("there is no training data set with a sequence and a positive weight")
        self.probabilities = weights / weights.sum()
        self.choose = _causal if self.mode == "causal" else _interval
        for frames in self.hard:
            known = frames.dataset < len(self.datasets) and frames.sequence < len(self.datasets[frames.dataset][0])
            counts = len(frames.train), len(frames.test)
            if (
                not known
                or self._source(frames.dataset, frames.sequence) != frames.source
                or counts != (self.num_train_frames, self.num_test_frames)
            ):
                what = f"the hard sample of {frames.source} is not from this training's data and seed"
                raise UserError(f"{what}: find hard samples anew with {HARD_SAMPLES}")

    def __len__(self) -> int:
        return self.samples_per_epoch

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Sample `key` = (epoch, index); see `CropProcessing` for its tensors, plus `source`, 'data set:sequence'.

        Raises:
            SampleError: an annotation or a frame cannot be read. Nothing else is drawn in its place, since a sample
                must not depend on what happens to be readable.
        """
        rng = self._generator(key)
        for _ in range(_MAX_TRIES):
            try:
                return self._crops(*self._draw_frames(rng), rng)
            except EmptyCropError as error:
                empty = error
        raise SampleError(f"none of {_MAX_TRIES} drawn samples has crops that show the image; the last: {empty}")

    def frames_of(self, key: tuple[int, int]) -> SampleFrames:
        """Which frames sample `key` is made of, if their crops show the image. Errors as for the sample itself."""
        return self._draw_frames(self._generator(key))[0]

    def _generator(self, key: tuple[int, int]) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def _source(self, dataset: int, sequence: int) -> str:
        named = self.datasets[dataset][0]
        return f"{named.name}:{named.sequence_name(sequence)}"

    def _draw_frames(self, rng: np.random.Generator) -> tuple[SampleFrames, SequenceInfo]:
        if self.hard and rng.random() < self.hard_share:
            chosen = self.hard[int(rng.integers(len(self.hard)))]
            info = self._info(chosen.dataset, chosen.sequence)
            if max(*chosen.train, *chosen.test) >= len(info.boxes):
                raise SampleError(f"{chosen.source}: it has {len(info.boxes)} frames, fewer than the hard sample says")
            return chosen, info
        number = int(rng.choice(len(self.datasets), p=self.probabilities))
        sequence, info = self._sequence(number, rng)
        train, test = self._frame_ids(self.datasets[number][0], info, rng)
        return SampleFrames(self._source(number, sequence), number, sequence, tuple(train), tuple(test)), info

    def _crops(self, chosen: SampleFrames, info: SequenceInfo, rng: np.random.Generator) -> dict[str, Any]:
        ids, split = [*chosen.train, *chosen.test], len(chosen.train)
        try:
            frames, boxes = open_frames(self.datasets[chosen.dataset][0], chosen.sequence, ids), info.boxes[ids]
            sample: dict[str, Any] = dict(
                self.processing((frames[:split], boxes[:split]), (frames[split:], boxes[split:]), rng)
            )
        except EmptyCropError:
            raise
        except (OSError, ValueError) as error:
            raise SampleError(f"{chosen.source}: {error}") from error
        sample["source"] = chosen.source
        return sample

    def _info(self, dataset: int, sequence: int) -> SequenceInfo:
        try:
            return self.datasets[dataset][0].sequence_info(sequence)
        except (OSError, ValueError) as error:
            raise SampleError(f"{self._source(dataset, sequence)}: {error}") from error

    def _sequence(self, number: int, rng: np.random.Generator) -> tuple[int, SequenceInfo]:
        dataset, _ = self.datasets[number]
        frames, needed = (self.least_frames, max(self.least_visible, 2)) if dataset.is_video else (1, 1)
        for _ in range(_MAX_TRIES):
            sequence = int(rng.integers(len(dataset)))
            info = self._info(number, sequence)
            if not dataset.is_video and self.least_still_side:
                info = replace(info, visible=info.visible & (info.boxes[:, 2:] > self.least_still_side).all(axis=1))
            if len(info.visible) >= frames and info.visible.sum() >= needed:
                return sequence, info
        what = f"{needed} visible frames" + (f" in {frames} frames or more" if frames > 2 else "")
        if not dataset.is_video:
            what = "a visible frame" + (f" larger than {self.least_still_side:g} px" if self.least_still_side else "")
        raise SampleError(f"{dataset.name}: none of {_MAX_TRIES} drawn sequences has {what}")

    def _frame_ids(
        self, dataset: TrainingDataset, info: SequenceInfo, rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        visible = np.flatnonzero(info.visible)
        if not dataset.is_video:
            frame = int(rng.choice(visible))
            return [frame] * self.num_train_frames, [frame] * self.num_test_frames
        return self.choose(visible, self.max_gap, self.num_train_frames, self.num_test_frames, rng)


def read_hard_samples(path: str | os.PathLike[str]) -> list[SampleFrames]:
    """The hard samples of a file that `experiments.hard_samples` wrote.

    Raises:
        UserError: no such file, or one that holds something else.
    """
    content = read_object(path)
    try:
        return [SampleFrames.from_row(row) for row in content["samples"]]
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a file of hard samples: write one with {HARD_SAMPLES}") from error


def _numbers(values: list[Any]) -> tuple[int, ...]:
    if min(values) < 0:
        raise TypeError("a negative number")
    return tuple(map(operator.index, values))


def open_frames(dataset: TrainingDataset, sequence: int, frame_ids: Sequence[int]) -> Sequence[np.ndarray | OpenFrame]:
    """Frames of a sequence; where the data set names their files, they are opened once their crops are known."""
    if not hasattr(dataset, "frame_files"):
        return dataset.frames(sequence, frame_ids)
    files, first = dataset.frame_files(sequence, frame_ids)
    return [partial(read_shrunk, file, first) for file in files]


def _draw(candidates: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """`count` frames, each once while they last."""
    return [int(frame) for frame in rng.choice(candidates, count, replace=len(candidates) < count)]


def _within(frames: np.ndarray, base: int, gap: int, wanted: int) -> np.ndarray:
    """The frames no more than `gap` from `base`; the gap grows until there are `wanted` of them, or all."""
    distance = np.abs(frames - base)
    enough = np.sort(distance)[min(wanted, len(frames)) - 1]
    steps = max(0, math.ceil((enough - gap) / _GAP_GROWTH))
    return frames[distance <= gap + steps * _GAP_GROWTH]


def _causal(
    visible: np.ndarray, gap: int, train: int, test: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """A base frame, train frames before it and test frames after it, both within `gap` of it.

    The base is drawn among the frames that have enough others on either side; in a video too short for that, among
    those that have at least one, and frames then repeat.
    """
    first = min(train - 1, max(len(visible) - 1 - test, 0))
    if train > 1 and len(visible) > 2:
        first = max(first, 1)
    last = max(len(visible) - test, first + 1)
    place = int(rng.integers(first, last))
    base = int(visible[place])
    earlier = []
    if train > 1:
        before = visible[:place] if place else visible[:1]
        earlier = _draw(_within(before, base, gap, train - 1), train - 1, rng)
    return [base, *earlier], _draw(_within(visible[place + 1 :], base, gap, test), test, rng)


def _interval(
    visible: np.ndarray, gap: int, train: int, test: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """A base train frame; all others before or after it, within `gap` of it, and different while there are enough."""
    base = int(rng.choice(visible))
    others = _within(visible[visible != base], base, gap, train - 1 + test)
    if len(others) < train - 1 + test:
        return [base, *(_draw(others, train - 1, rng) if train > 1 else [])], _draw(others, test, rng)
    chosen = _draw(others, train - 1 + test, rng)
    return [base, *chosen[: train - 1]], chosen[train - 1 :]
