"""What a frame starts from: what the host knows of each target, the same for a batch on the device, and crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ltr.ops.crops import sample_patch
from pytracking.tracker.inputs import as_image
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


def crop_patch(
    image: np.ndarray,
    position: Sequence[float],
    size: float,
    output_size: int,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Crop a square around a position and resize it (crop rule of docs/reference.md, section 4).

    Args:
        image: [H, W, 3] uint8 RGB.
        position: (y, x) of the crop's centre in the image.
        size: side of the crop in image pixels.
        output_size: side of the patch in pixels.
        border_mode, max_scale_change: see `ltr.ops.crops.sample_patch`.

    Returns:
        patch [1, 3, output_size, output_size] float32 in 0..255, and the image region that it shows, [1, 4] (top,
        left, bottom, right), as `sample_patch` reports it.

    Raises:
        ValueError: the image is not uint8 RGB.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be a uint8 RGB array of shape [H, W, 3], got {image.dtype} {list(image.shape)}")
    # torch cannot wrap what is reversed or read-only, such as a BGR image turned to RGB or a decoded frame.
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
    return sample_patch(pixels, position, (size, size), (output_size, output_size), border_mode, max_scale_change)


def checked_images(images: Mapping[int, np.ndarray]) -> tuple[dict[int, np.ndarray], dict[int, ValueError]]:
    """The good images as uint8 RGB, and what is wrong with the others."""
    good, errors = {}, {}
    for slot, image in images.items():
        try:
            good[slot] = as_image(image)
        except ValueError as error:
            errors[slot] = error
    return good, errors
