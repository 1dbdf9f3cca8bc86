"""Arrays with one row for each target, which come and go: rows are added, replaced, and read for some targets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from pytracking.tracker.shared.geometry import Array


class Slots:
    """Which rows: those of the targets that a frame concerns.

    Attributes:
        numbers: the rows, in order.
        index: [N] the same on the device.
        range: the same as a slice, where they are neighbours.
    """

    def __init__(self, numbers: Iterable[int], device: torch.device) -> None:
        self.numbers = tuple(numbers)
        self.index = torch.tensor(self.numbers, device=device)
        start, count = self.numbers[0], len(self.numbers)
        self.range = slice(start, start + count) if self.numbers == tuple(range(start, start + count)) else None


class Rows:
    """One array [targets, ...] that grows as targets join. `data` is the array itself."""

    data: Array

    def put(self, slot: int, row: Array) -> None:
        """Set the row of a target; the first one decides shape, type and place of all."""
        if not hasattr(self, "data"):
            self.data = zeros_like(row, slot + 1, *row.shape)
        elif slot >= len(self.data):
            # Doubling keeps the copying of a growing number of targets in proportion to that number.
            grown = zeros_like(self.data, max(slot + 1, 2 * len(self.data)), *self.data.shape[1:])
            grown[: len(self.data)] = self.data
            self.data = grown
        self.data[slot] = row

    def of(self, slot: int) -> Array:
        """The row of one target, a view."""
        return self.data[slot]

    def __getitem__(self, slots: Slots) -> Array:
        """Rows [N, ...] of some targets; a view where they are neighbours."""
        return self.data[self._at(slots)]

    def set(self, slots: Slots, rows: Array) -> None:
        """Replace the rows [N, ...] of some targets."""
        self.data[self._at(slots)] = rows

    def _at(self, slots: Slots) -> slice | Tensor | list[int]:
        if slots.range is not None:
            return slots.range
        return slots.index if isinstance(self.data, Tensor) else list(slots.numbers)


def zeros_like(values: Array, *shape: int) -> Array:
    """Zeros of a shape, of the values' kind, type and place."""
    return values.new_zeros(shape) if isinstance(values, Tensor) else np.zeros(shape, values.dtype)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values of the host on a device; the host does not wait."""
    # CUDA copies on its own from pinned memory only.
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)
