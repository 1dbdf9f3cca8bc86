"""Where targets are: their states in the image, their boxes in a sample's frame, and the way between the two.

All is float32, a row a target, in the order (y, x): the whole-pixel truncation of the crops makes the last bit matter,
and the reference keeps float32. A centre is corner + (size - 1)/2. On the host these are arrays of numpy, whose small
operations cost a third of torch's; on a device they are tensors, and the same functions take both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

# Of numpy on the host, a tensor on a device.
Array: TypeAlias = Any


def library(values: Array) -> Any:
    """`numpy` or `torch`, whichever the values are of. Both know `concatenate`, `where`, `sqrt` and `axis`."""
    return torch if isinstance(values, Tensor) else np


def cast(values: Array, dtype: Any) -> Array:
    """Values as another type, one of their library."""
    return values.to(dtype) if isinstance(values, Tensor) else values.astype(dtype)


def swapped(pairs: Array) -> Array:
    """Pairs [N, 2] in the other order."""
    return pairs.flip(1) if isinstance(pairs, Tensor) else pairs[:, ::-1]


@dataclass(frozen=True)
class TargetState:
    """N targets, each in its image.

    Attributes:
        position: [N, 2] centres (y, x) in image pixels.
        size: [N, 2] (height, width) in image pixels.
        scale: [N] image pixels per sample pixel of the crop that is taken around the target.
    """

    position: Array
    size: Array
    scale: Array

    @classmethod
    def from_box(cls, box: Sequence[float], search_area_scale: float, sample_size: int) -> TargetState:
        """The state [1, ...] of an image box (x, y, w, h) on the host; a sample of `sample_size` pixels shows its
        search area."""
        x, y, w, h = box
        position = np.array([[y + (h - 1) / 2, x + (w - 1) / 2]], np.float32)
        size = np.array([[h, w]], np.float32)
        return cls(position, size, np.sqrt((size * search_area_scale).prod(1)) / sample_size)

    def rows(self) -> Array:
        """[N, 5]: position, size, scale."""
        return library(self.position).concatenate([self.position, self.size, self.scale[:, None]], axis=1)

    @classmethod
    def from_rows(cls, rows: Array) -> TargetState:
        """The states that `rows` gave."""
        return cls(rows[:, :2], rows[:, 2:4], rows[:, 4])

    def boxes(self) -> Array:
        """The image boxes [N, 4] (x, y, w, h)."""
        corner = self.position - (self.size - 1) / 2
        return library(corner).concatenate([swapped(corner), swapped(self.size)], axis=1)

    def moved_inside(self, image_size: Array, visible: float = 0.2) -> TargetState:
        """The states with positions clamped so that the given part of each target stays in its image [N, 2] (h, w)."""
        margin = (visible - 0.5) * self.size
        xp = library(margin)
        inside = xp.maximum(xp.minimum(self.position, image_size - margin), margin)
        return replace(self, position=inside)

    def where(self, condition: Array, other: TargetState) -> TargetState:
        """These states where `condition` [N] holds, the other ones elsewhere."""
        return TargetState.from_rows(library(condition).where(condition[:, None], self.rows(), other.rows()))


@dataclass(frozen=True)
class SampleFrame:
    """The frames of N samples, square crops of an image resized to `size` pixels.

    Attributes:
        position: [N, 2] (y, x) in the image of the samples' centres.
        scale: [N] image pixels per sample pixel.
        size: side of the samples in pixels.
    """

    position: Array
    scale: Array
    size: int

    @classmethod
    def from_coordinates(cls, coordinates: Array, size: int) -> SampleFrame:
        """The frames of crops that report having shown `coordinates` [N, 4] (top, left, bottom, right)."""
        low, high = coordinates[:, :2], coordinates[:, 2:]
        pixels = (high - low) / size
        return cls((low + high - 1) / 2, library(pixels).sqrt(pixels[:, 0] * pixels[:, 1]), size)

    def box_of(self, target: TargetState) -> Array:
        """The targets' boxes [N, 4] (x, y, w, h) in sample pixels."""
        scale = self.scale[:, None]
        centre = (target.position - self.position) / scale + (self.size - 1) / 2
        size = target.size / scale
        corner = centre - (size - 1) / 2
        return library(corner).concatenate([swapped(corner), swapped(size)], axis=1)

    def state_of(self, boxes: Array, base_size: Array) -> TargetState:
        """The target states of refined boxes [N, 4] (x, y, w, h) in sample pixels.

        Not the inverse of `box_of`: the centre is corner + size/2 here, as in the reference. `base_size` [N, 2] is the
        size (height, width) at scale 1; the new scale is the square root of the ratio of areas.
        """
        scale = self.scale[:, None]
        corner, size = swapped(boxes[:, :2]), swapped(boxes[:, 2:])
        centre = corner + size / 2 - (self.size - 1) / 2
        new_size = size * scale
        new_scale = library(new_size).sqrt(new_size.prod(1) / base_size.prod(1))
        return TargetState(centre * scale + self.position, new_size, new_scale)
