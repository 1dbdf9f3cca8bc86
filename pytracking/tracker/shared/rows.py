"""Tensors with one row for each target, which come and go: rows are added, replaced, and read for some targets."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


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
    """One tensor [targets, ...] that grows as targets join. `data` is the tensor itself."""

    data: Tensor

    def put(self, slot: int, row: Tensor) -> None:
        """Set the row of a target; the first one decides shape, type and device of all."""
        if not hasattr(self, "data"):
            self.data = row.new_zeros(slot + 1, *row.shape)
        elif slot >= len(self.data):
            # Doubling keeps the copying of a growing number of targets in proportion to that number.
            grown = self.data.new_zeros(max(slot + 1, 2 * len(self.data)), *self.data.shape[1:])
            grown[: len(self.data)] = self.data
            self.data = grown
        self.data[slot] = row

    def of(self, slot: int) -> Tensor:
        """The row of one target, a view."""
        return self.data[slot]

    def __getitem__(self, slots: Slots) -> Tensor:
        """Rows [N, ...] of some targets; a view where they are neighbours."""
        return self.data[self._at(slots)]

    def set(self, slots: Slots, rows: Tensor) -> None:
        """Replace the rows [N, ...] of some targets."""
        self.data[self._at(slots)] = rows

    def _at(self, slots: Slots) -> slice | Tensor | list[int]:
        if slots.range is not None:
            return slots.range
        return slots.index if self.data.device == slots.index.device else list(slots.numbers)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values of the host on a device; the host does not wait."""
    # CUDA copies on its own from pinned memory only.
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)
