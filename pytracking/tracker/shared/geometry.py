"""Where targets are: their states in the image, their boxes in a sample's frame, and the way between the two.

All is float32, a row a target, on any device, in the order (y, x): the whole-pixel truncation of the crops makes the
last bit matter, and the reference keeps float32. A centre is corner + (size - 1)/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TargetState:
    """N targets, each in its image.

    Attributes:
        position: [N, 2] centres (y, x) in image pixels.
        size: [N, 2] (height, width) in image pixels.
        scale: [N] image pixels per sample pixel of the crop that is taken around the target.
    """

    position: Tensor
    size: Tensor
    scale: Tensor

    @classmethod
    def from_box(cls, box: Sequence[float], search_area_scale: float, sample_size: int) -> TargetState:
        """The state [1, ...] of an image box (x, y, w, h); a sample of `sample_size` pixels shows its search area."""
        x, y, w, h = box
        position = torch.tensor([[y + (h - 1) / 2, x + (w - 1) / 2]], dtype=torch.float32)
        size = torch.tensor([[h, w]], dtype=torch.float32)
        return cls(position, size, (size * search_area_scale).prod(dim=1).sqrt() / sample_size)

    def rows(self) -> Tensor:
        """[N, 5]: position, size, scale."""
        return torch.cat([self.position, self.size, self.scale[:, None]], dim=1)

    @classmethod
    def from_rows(cls, rows: Tensor) -> TargetState:
        """The states that `rows` gave."""
        return cls(rows[:, :2], rows[:, 2:4], rows[:, 4])

    def boxes(self) -> Tensor:
        """The image boxes [N, 4] (x, y, w, h)."""
        corner = self.position - (self.size - 1) / 2
        return torch.cat([corner.flip(1), self.size.flip(1)], dim=1)

    def moved_inside(self, image_size: Tensor, visible: float = 0.2) -> TargetState:
        """The states with positions clamped so that the given part of each target stays in its image [N, 2] (h, w)."""
        margin = (visible - 0.5) * self.size
        inside = torch.maximum(torch.minimum(self.position, image_size - margin), margin)
        return replace(self, position=inside)

    def where(self, condition: Tensor, other: TargetState) -> TargetState:
        """These states where `condition` [N] holds, the other ones elsewhere."""
        return TargetState.from_rows(torch.where(condition[:, None], self.rows(), other.rows()))


@dataclass(frozen=True)
class SampleFrame:
    """The frames of N samples, square crops of an image resized to `size` pixels.

    Attributes:
        position: [N, 2] (y, x) in the image of the samples' centres.
        scale: [N] image pixels per sample pixel.
        size: side of the samples in pixels.
    """

    position: Tensor
    scale: Tensor
    size: int

    @classmethod
    def from_coordinates(cls, coordinates: Tensor, size: int) -> SampleFrame:
        """The frames of crops that report having shown `coordinates` [N, 4] (top, left, bottom, right)."""
        low, high = coordinates[:, :2], coordinates[:, 2:]
        pixels = (high - low) / size
        return cls((low + high - 1) / 2, (pixels[:, 0] * pixels[:, 1]).sqrt(), size)

    def box_of(self, target: TargetState) -> Tensor:
        """The targets' boxes [N, 4] (x, y, w, h) in sample pixels."""
        scale = self.scale[:, None]
        centre = (target.position - self.position) / scale + (self.size - 1) / 2
        size = target.size / scale
        corner = centre - (size - 1) / 2
        return torch.cat([corner.flip(1), size.flip(1)], dim=1)

    def state_of(self, boxes: Tensor, base_size: Tensor) -> TargetState:
        """The target states of refined boxes [N, 4] (x, y, w, h) in sample pixels.

        Not the inverse of `box_of`: the centre is corner + size/2 here, as in the reference. `base_size` [N, 2] is the
        size (height, width) at scale 1; the new scale is the square root of the ratio of areas.
        """
        scale = self.scale[:, None]
        corner, size = boxes[:, :2].flip(1), boxes[:, 2:].flip(1)
        centre = corner + size / 2 - (self.size - 1) / 2
        new_size = size * scale
        new_scale = (new_size.prod(dim=1) / base_size.prod(dim=1)).sqrt()
        return TargetState(centre * scale + self.position, new_size, new_scale)
