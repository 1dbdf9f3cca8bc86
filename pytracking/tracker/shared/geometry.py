"""Where the target is: its state in the image, its box in a sample's frame, and the way between the two.

States are float32 arrays in the order (y, x): the whole-pixel truncation of the crops makes the last bit matter, and
the reference keeps float32. A centre is corner + (size - 1)/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TargetState:
    """The target in the image.

    Attributes:
        position: [2] centre (y, x) in image pixels.
        size: [2] (height, width) in image pixels.
        scale: image pixels per sample pixel of the crop that is taken around the target.
    """

    position: np.ndarray
    size: np.ndarray
    scale: np.float32

    @classmethod
    def from_box(cls, box: Sequence[float], scale: float) -> TargetState:
        """The state of an image box (x, y, w, h)."""
        x, y, w, h = box
        position = np.array([y + (h - 1) / 2, x + (w - 1) / 2], dtype=np.float32)
        return cls(position, np.array([h, w], dtype=np.float32), np.float32(scale))

    def box(self) -> tuple[float, float, float, float]:
        """The image box (x, y, w, h)."""
        y, x = (self.position - (self.size - 1) / 2).tolist()
        h, w = self.size.tolist()
        return x, y, w, h

    def moved_inside(self, image_size: np.ndarray, visible: float = 0.2) -> TargetState:
        """The state with its position clamped so that the given part of the target stays in the image (h, w)."""
        margin = np.float32(visible - 0.5) * self.size
        return replace(self, position=np.maximum(np.minimum(self.position, image_size - margin), margin))


@dataclass(frozen=True)
class SampleFrame:
    """The frame of one sample, a square crop of the image resized to `size` pixels.

    Attributes:
        position: [2] (y, x) in the image of the sample's centre.
        scale: image pixels per sample pixel.
        size: side of the sample in pixels.
    """

    position: np.ndarray
    scale: np.float32
    size: int

    @classmethod
    def from_coordinates(cls, coordinates: Tensor, size: int) -> SampleFrame:
        """The frame of a crop that reports having shown `coordinates` [1, 4] (top, left, bottom, right)."""
        corners = coordinates.detach().cpu().numpy().astype(np.float32).reshape(2, 2)
        pixels = (corners[1] - corners[0]) / np.float32(size)
        return cls((corners[0] + corners[1] - 1) / 2, np.sqrt(pixels[0] * pixels[1]), size)

    def box_of(self, target: TargetState) -> Tensor:
        """The target's box [4] (x, y, w, h) in sample pixels, float32 on the CPU."""
        centre = (target.position - self.position) / self.scale + np.float32((self.size - 1) / 2)
        size = target.size / self.scale
        corner = centre - (size - 1) / 2
        return torch.from_numpy(np.concatenate([corner[::-1], size[::-1]]))

    def state_of(self, box: Tensor, base_size: np.ndarray) -> TargetState:
        """The target state of a refined box [4] (x, y, w, h) in sample pixels.

        Not the inverse of `box_of`: the centre is corner + size/2 here, as in the reference. `base_size` [2] is the
        size (height, width) at scale 1; the new scale is the square root of the ratio of areas.
        """
        corner, size = box.detach().cpu().numpy().astype(np.float32).reshape(2, 2)[:, ::-1]
        centre = corner + size / 2 - np.float32((self.size - 1) / 2)
        new_size = size * self.scale
        scale = math.sqrt(np.prod(new_size) / np.prod(base_size))
        return TargetState(centre * self.scale + self.position, new_size, np.float32(scale))
