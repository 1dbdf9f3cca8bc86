"""What a frame starts from: what the host knows of each target, and the same for a batch of them on the device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pytracking.tracker.shared.geometry import SampleFrame, TargetState


@dataclass
class Target:
    """What the host knows of a target: tensors on the CPU, with one row.

    Attributes:
        state: the target after the last frame.
        base_size: [1, 2] (height, width) at scale 1.
        scale_limits: [1, 2] least and largest scale.
        generator: source of its random numbers; None for torch's default generator.
        frame_number: number of the last frame, the first being 1.
        jitter: [1, J, 4] drawn for the next refinement.
    """

    state: TargetState
    base_size: Tensor
    scale_limits: Tensor
    generator: torch.Generator | None
    frame_number: int = 1
    jitter: Tensor | None = None


@dataclass(frozen=True)
class Search:
    """What a frame starts from, a row a target, on the device.

    Attributes:
        target: the targets after the last frame.
        frame: the frames of the samples that are searched.
        base_size, scale_limits: [N, 2] as in `Target`.
        image_size: [N, 2] (height, width) of the images.
        jitter: [N, J, 4] for the proposals.
    """

    target: TargetState
    frame: SampleFrame
    base_size: Tensor
    scale_limits: Tensor
    image_size: Tensor
    jitter: Tensor

    def to(self, device: torch.device, samples: Tensor) -> tuple[Search, Tensor]:
        """The same, and the samples [N, 3, S, S], on a device.

        All is copied in one piece. The samples are cut on the host: in float32 one of 352 x 352 pixels has half as many
        bytes as a frame of 1280 x 720.
        """
        if device.type == "cpu":
            return self, samples
        parts = [
            samples.flatten(1),
            self.target.rows(),
            torch.cat([self.frame.position, self.frame.scale[:, None]], dim=1),
            self.base_size,
            self.scale_limits,
            self.image_size,
            self.jitter.flatten(1),
        ]
        rows = torch.cat(parts, dim=1)
        if device.type == "cuda":
            rows = rows.pin_memory()
        rows = rows.to(device, non_blocking=True)
        pixels, target, frame, base, limits, image, jitter = rows.split([part.shape[1] for part in parts], dim=1)
        search = Search(
            TargetState.from_rows(target),
            SampleFrame(frame[:, :2], frame[:, 2], self.frame.size),
            base,
            limits,
            image,
            jitter.unflatten(1, self.jitter.shape[1:]),
        )
        return search, pixels.unflatten(1, samples.shape[1:])


def image_sizes(images: Iterable[np.ndarray]) -> Tensor:
    """(height, width) of images, [N, 2]."""
    return torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
