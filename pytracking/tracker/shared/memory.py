"""The sample memory of target models: features, boxes and weights of the frames that each target learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pytracking.tracker.shared.geometry import Array, cast, library
from pytracking.tracker.shared.rows import Rows, Slots, send, zeros_like


class SampleMemory:
    """A fixed number of samples for each of many targets: first-frame ones to the end, the others replaced by weight.

    Source: docs/reference.md, section 4. All targets' features are one tensor on the device; everything else is on the
    host, which decides where a sample goes.

    Weights of a target sum to 1, or to a little more after a step that raised the first frame's part, which
    the reference does not normalise again.

    Args:
        capacity: number of samples of a target that fit.
        learning_rate: weight of a new sample, unless `insert` gets another.
        init_samples_minimum_weight: weight that a target's first-frame samples together keep.
    """

    def __init__(self, capacity: int, learning_rate: float, init_samples_minimum_weight: float) -> None:
        self.capacity = capacity
        self._learning_rate = learning_rate
        self._minimum_init_weight = init_samples_minimum_weight
        self._features, self._boxes, self._weights, self._newest = Rows(), Rows(), Rows(), Rows()
        self._first = 0
        self._stored: dict[int, int] = {}

    def start(self, slot: int, features: Tensor, boxes: np.ndarray) -> None:
        """Store a target's first-frame samples: features [n, C, F, F], boxes [n, 4] in sample pixels.

        Raises:
            ValueError: they leave no place for another, or are not as many as another target's.
        """
        count = features.shape[0]
        if count >= self.capacity:
            raise ValueError(f"sample_memory_size is {self.capacity}, but the first frame alone gives {count} samples")
        if count != (self._first or count):
            raise ValueError(f"{count} first-frame samples; the other targets have {self._first}")
        self._first = count
        weights = np.zeros(self.capacity, np.float32)
        weights[:count] = 1 / count
        self._weights.put(slot, weights)
        self._newest.put(slot, np.array(-1))
        for rows, first in ((self._features, features), (self._boxes, boxes)):
            rows.put(slot, zeros_like(first, self.capacity, *first.shape[1:]))
            rows.of(slot)[:count] = first
        self._stored[slot] = count

    def insert(
        self, slots: Slots, features: Tensor, boxes: np.ndarray, learning_rate: np.ndarray, learns: np.ndarray
    ) -> None:
        """Store one more sample of each target.

        Args:
            slots: the targets, N of them.
            features: [N, C, F, F].
            boxes: [N, 4] in sample pixels, on the host as all that follows.
            learning_rate: [N] weights of the new samples, float64.
            learns: [N] whether to store; where not, nothing changes.
        """
        weights, _, newest, places = weights_after(
            self._weights[slots],
            np.array([self._stored[slot] for slot in slots.numbers]),
            self._newest[slots],
            learning_rate,
            learns,
            first=self._first,
            minimum=self._minimum_init_weight,
        )
        self._weights.set(slots, weights)
        self._newest.set(slots, newest)
        old, new = [], []
        for number, (slot, place) in enumerate(zip(slots.numbers, places.tolist())):
            if place < self.capacity:
                self._stored[slot] += 1
                self._boxes.of(slot)[place] = boxes[number]
                old.append(self._features.of(slot)[place])
                new.append(features[number])
        if old:
            torch._foreach_copy_(old, new)

    def stored(self, slots: Slots) -> tuple[Tensor, Tensor, Tensor]:
        """Features [N, n, C, F, F], boxes [N, n, 4] and weights [N, n] of the targets' samples.

        n is the largest number of samples that one of the targets has; the others have weight 0 from their own on.
        """
        filled = min(max(self._stored[slot] for slot in slots.numbers), self.capacity)
        features = self._features[slots][:, :filled]
        rows = np.concatenate([self._boxes[slots], self._weights[slots][..., None]], axis=2)[:, :filled]
        boxes, weights = send(torch.from_numpy(rows), features.device).split([4, 1], dim=2)
        return features, boxes, weights[..., 0]

    def of(self, slot: int) -> StoredSamples:
        """What one target has in memory, as it is now; boxes and weights on the host."""
        stored = self._stored[slot]
        filled = min(stored, self.capacity)
        boxes, weights = (torch.from_numpy(rows.of(slot)) for rows in (self._boxes, self._weights))
        return StoredSamples(stored, weights, (self._features.of(slot)[:filled], boxes[:filled], weights[:filled]))


def weights_after(
    weights: Array,
    count: Array,
    newest: Array,
    learning_rate: Array,
    learns: Array,
    *,
    first: int,
    minimum: float,
) -> tuple[Array, Array, Array, Array]:
    """Weights of N targets' samples once one more of each has come; the reference's rule, no running average.

    Args:
        weights: [N, capacity].
        count, newest: [N] how many places are filled, and the place that was filled last; -1 before any was.
        learning_rate, learns: as for `SampleMemory.insert`.
        first: number of first-frame samples.
        minimum: weight that they keep together.

    Returns:
        weights, count and newest thereafter, and the place [N] of the new samples; where none is stored, `capacity`.
    """
    xp, capacity = library(weights), weights.shape[1]
    lightest = first + weights[:, first:].argmin(1)
    place = xp.where(count < capacity, count, lightest)
    changed = _reweighted(weights, place, newest, learning_rate, first, minimum)
    return (
        xp.where(learns[:, None], changed, weights),
        count + learns,
        xp.where(learns, place, newest),
        xp.where(learns, place, capacity),
    )


def _reweighted(weights: Array, place: Array, newest: Array, learning_rate: Array, first: int, minimum: float) -> Array:
    """Weights after samples have come to `place`."""
    xp, fresh = library(weights), newest[:, None] < 0
    places = xp.arange(weights.shape[1])
    rate, kept = (cast(part, weights.dtype)[:, None] for part in (learning_rate, 1 - learning_rate))
    after = xp.where(places == newest[:, None], weights, 0).sum(1)[:, None] / kept
    weights = xp.where(fresh, weights / kept, weights)
    weights = xp.where(places == place[:, None], xp.where(fresh, rate, after), weights)
    weights = weights / weights.sum(1)[:, None]
    raised = weights / (minimum + weights[:, first:].sum(1)[:, None])
    raised = xp.where(places < first, minimum / first, raised)
    light = weights[:, :first].sum(1)[:, None] < minimum
    return xp.where(light, raised, weights)


@dataclass(frozen=True)
class StoredSamples:
    """The memory of one target.

    Attributes:
        num_stored: number of samples that came in so far, first-frame ones included; goes on counting when full.
        weights: [capacity] sample weights, 0 where nothing is stored.
        stored: features [n, C, F, F], boxes [n, 4] and weights [n] of what is stored.
    """

    num_stored: int
    weights: Tensor
    stored: tuple[Tensor, Tensor, Tensor]
