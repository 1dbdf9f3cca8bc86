"""Sampling of training sequences: which data set, which sequence, which frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ltr.data.processing import CropProcessing
from ltr.dataset.base import SequenceInfo, TrainingDataset

_GAP_GROWTH = 5
_MAX_TRIES = 200


class SampleError(ValueError):
    """A sequence that cannot be read; the message names data set, sequence and file."""


class TrackingSampler(Dataset[dict[str, Any]]):
    """A map-style data set of samples; sample (epoch, i) is a pure function of (seed, epoch, i).

    Args:
        datasets: data sets with their sampling weights.
        processing: turns frames and boxes into crops.
        samples_per_epoch: length.
        max_gap: frames between the frames of a sample; grows while there are not enough visible ones.
        num_train_frames, num_test_frames: frames of a sample.
        mode: 'causal' (train frames before test frames) or 'interval' (test frames around the train frames).
        seed: of all randomness.

    Raises:
        ValueError: no data set with a sequence and a positive weight, or an unknown mode.
    """

    def __init__(
        self,
        datasets: Sequence[tuple[TrainingDataset, float]],
        processing: CropProcessing,
        *,
        samples_per_epoch: int,
        max_gap: int,
        num_train_frames: int,
        num_test_frames: int,
        mode: str = "causal",
        seed: int = 0,
    ) -> None:
        if mode not in ("causal", "interval"):
            raise ValueError(f"mode must be 'causal' or 'interval', not '{mode}'")
        weights = np.array([weight if len(dataset) else 0.0 for dataset, weight in datasets], dtype=float)
        if not len(weights) or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError("there is no training data set with a sequence and a positive weight")
        self.datasets = [dataset for dataset, _ in datasets]
        self.probabilities = weights / weights.sum()
        self.processing = processing
        self.samples_per_epoch = samples_per_epoch
        self.max_gap = max_gap
        self.num_train_frames = num_train_frames
        self.num_test_frames = num_test_frames
        self.choose = _causal if mode == "causal" else _interval
        self.seed = seed

    def __len__(self) -> int:
        return self.samples_per_epoch

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Sample `key` = (epoch, index); see `CropProcessing` for its tensors, plus `source`, 'data set:sequence'.

        Raises:
            SampleError: an annotation or a frame cannot be read. Nothing else is drawn in its place, since a sample
                must not depend on what happens to be readable.
        """
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        dataset = self.datasets[rng.choice(len(self.datasets), p=self.probabilities)]
        sequence, info = self._sequence(dataset, rng)
        train_ids, test_ids = self._frame_ids(dataset, info, rng)
        source = f"{dataset.name}:{dataset.sequence_name(sequence)}"
        try:
            frames = dataset.frames(sequence, [*train_ids, *test_ids])
        except (OSError, ValueError) as error:
            raise SampleError(f"{source}: {error}") from error
        split = len(train_ids)
        sample: dict[str, Any] = dict(
            self.processing((frames[:split], info.boxes[train_ids]), (frames[split:], info.boxes[test_ids]), rng)
        )
        sample["source"] = source
        return sample

    def _sequence(self, dataset: TrainingDataset, rng: np.random.Generator) -> tuple[int, SequenceInfo]:
        needed = 2 if dataset.is_video else 1
        for _ in range(_MAX_TRIES):
            sequence = int(rng.integers(len(dataset)))
            try:
                info = dataset.sequence_info(sequence)
            except (OSError, ValueError) as error:
                raise SampleError(f"{dataset.name}:{dataset.sequence_name(sequence)}: {error}") from error
            if info.visible.sum() >= needed:
                return sequence, info
        raise SampleError(f"{dataset.name}: none of {_MAX_TRIES} drawn sequences has {needed} visible frames")

    def _frame_ids(
        self, dataset: TrainingDataset, info: SequenceInfo, rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        visible = np.flatnonzero(info.visible)
        if not dataset.is_video:
            frame = int(rng.choice(visible))
            return [frame] * self.num_train_frames, [frame] * self.num_test_frames
        gap = self.max_gap
        while True:
            chosen = self.choose(visible, gap, self.num_train_frames, self.num_test_frames, rng)
            if chosen is not None:
                return chosen
            gap += _GAP_GROWTH


def _draw(candidates: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """`count` frames, each once while they last."""
    return [int(frame) for frame in rng.choice(candidates, count, replace=len(candidates) < count)]


def _causal(
    visible: np.ndarray, gap: int, train: int, test: int, rng: np.random.Generator
) -> tuple[list[int], list[int]] | None:
    """Train frames up to a base frame and within `gap` of it, test frames after it and within `gap`."""
    base = int(rng.choice(visible[:-1]))
    before = visible[(visible <= base) & (visible > base - gap)]
    after = visible[(visible > base) & (visible <= base + gap)]
    if not len(after):
        return None
    earlier = before[before < base]
    extra = _draw(earlier if len(earlier) else before, train - 1, rng) if train > 1 else []
    return [base, *extra], _draw(after, test, rng)


def _interval(
    visible: np.ndarray, gap: int, train: int, test: int, rng: np.random.Generator
) -> tuple[list[int], list[int]] | None:
    """All frames within `gap` of a base train frame."""
    base = int(rng.choice(visible))
    near = visible[(abs(visible - base) <= gap) & (visible != base)]
    if not len(near):
        return None
    return [base, *_draw(near, train - 1, rng)] if train > 1 else [base], _draw(near, test, rng)
