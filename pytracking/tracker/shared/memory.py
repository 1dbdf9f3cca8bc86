"""The sample memory of a target model: features, boxes and weights of the frames that it learns from."""

from __future__ import annotations

import torch
from torch import Tensor


class SampleMemory:
    """A fixed number of samples, the first-frame ones for ever, the others replaced by weight.

    Source: docs/reference.md, section 4.

    Attributes:
        num_stored: samples that came in so far, first-frame ones included; goes on counting when full.
        weights: [capacity] sample weights, 0 where nothing is stored. They sum to 1, or to a little more after a step
            that raised the first frame's part, which the reference does not normalise again.
    """

    def __init__(
        self, features: Tensor, boxes: Tensor, capacity: int, learning_rate: float, init_samples_minimum_weight: float
    ) -> None:
        """Store the first-frame samples.

        Args:
            features: [n, C, F, F].
            boxes: [n, 4] (x, y, w, h) in sample pixels.
            capacity: number of samples that fit.
            learning_rate: weight of a new sample, unless `insert` is told another.
            init_samples_minimum_weight: weight that the first-frame samples together keep.

        Raises:
            ValueError: the first-frame samples leave no place for another.
        """
        count = features.shape[0]
        if count >= capacity:
            raise ValueError(f"sample_memory_size is {capacity}, but the first frame alone gives {count} samples")
        self.num_stored = count
        self.weights = torch.zeros(capacity)
        self.weights[:count] = 1 / count
        self._features = features.new_zeros(capacity, *features.shape[1:])
        self._features[:count] = features
        self._boxes = boxes.new_zeros(capacity, 4)
        self._boxes[:count] = boxes
        self._num_init = count
        self._learning_rate = learning_rate
        self._minimum_init_weight = init_samples_minimum_weight
        self._newest: int | None = None

    @property
    def stored(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features [n, C, F, F], boxes [n, 4] and weights [n] of what is stored, on the features' device."""
        filled = min(self.num_stored, len(self.weights))
        return self._features[:filled], self._boxes[:filled], self.weights[:filled].to(self._features.device)

    def insert(self, features: Tensor, box: Tensor, learning_rate: float | None = None) -> None:
        """Store one more sample: features [1, C, F, F], box [4] in sample pixels."""
        place = self._next_place()
        self._reweight(place, self._learning_rate if learning_rate is None else learning_rate)
        self._features[place] = features[0]
        self._boxes[place] = box
        self._newest = place
        self.num_stored += 1

    def _next_place(self) -> int:
        if self.num_stored < len(self.weights):
            return self.num_stored
        return self._num_init + int(self.weights[self._num_init :].argmin())

    def _reweight(self, place: int, learning_rate: float) -> None:
        """Weights after a sample has come to `place`; the reference's rule, not the textbook's running average."""
        weights, first_frame = self.weights, slice(0, self._num_init)
        if self._newest is None:
            weights /= 1 - learning_rate
            weights[place] = learning_rate
        else:
            weights[place] = weights[self._newest] / (1 - learning_rate)
        weights /= weights.sum()
        if weights[first_frame].sum() < self._minimum_init_weight:
            weights /= self._minimum_init_weight + weights[self._num_init :].sum()
            weights[first_frame] = self._minimum_init_weight / self._num_init
