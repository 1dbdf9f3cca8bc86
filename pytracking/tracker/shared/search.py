"""What a frame starts from: what the host knows of each target, the same for a batch on the device, and crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ltr.ops.crops import Lines, patch_lines
from pytracking.tracker.inputs import as_image
from pytracking.tracker.shared.geometry import Array, SampleFrame, TargetState
from pytracking.tracker.shared.refinement import draw_jitter, propose
from pytracking.tracker.shared.rows import send
from pytracking.tracker.shared.settings import TrackerParameters

# OpenCV rounds the places of pixels so far apart exactly; from 93 on not always.
_QUICK_STEP = 64
NO_TRAIL = np.array([[0, 0, np.nan, np.nan]], np.float32)


@dataclass
class Target:
    """What the host knows of a target: arrays with one row.

    Attributes:
        state: the target after the last frame.
        base_size: [1, 2] (height, width) at scale 1.
        scale_limits: [1, 2] least and largest scale.
        generator: source of its random numbers; None for torch's default generator.
        trail: [1, 4] of the last frame that showed the target: by how much (y, x) it had moved, and where in the image
            the second peak was, NaN without one.
        frame_number: number of the last frame, the first being 1.
        jitter: [J, 4] drawn for the next refinement.
    """

    state: TargetState
    base_size: np.ndarray
    scale_limits: np.ndarray
    generator: torch.Generator | None
    trail: np.ndarray = field(default_factory=NO_TRAIL.copy)
    frame_number: int = 1
    jitter: np.ndarray | None = None

    def next_jitter(self, params: TrackerParameters) -> np.ndarray:
        """Jitter [J, 4], drawn before it is known whether there will be a refinement, and kept until there is one."""
        if self.jitter is None:
            drawn = draw_jitter(params, self.generator) if params.use_iou_net else torch.zeros(0, 4)
            self.jitter = drawn.numpy()
        return self.jitter


@dataclass(frozen=True)
class Search:
    """What a frame starts from, a row a target: on the host, or tensors on another device.

    Attributes:
        target: the targets after the last frame.
        frame: the frames of the samples that are searched.
        base_size, scale_limits: [N, 2] as in `Target`.
        image_size: [N, 2] (height, width) of the images.
        trail: [N, 4] as in `Target`, on the host.
        jitter: [N, J, 4] for the proposals, on the host.
        score_side, feature_side: cells of the score map and of the features along an axis.
        cells: what `in_cells` gives, worked out where it is not given.
        starts: [N, M, 4] the proposals with the targets where they were, in sample pixels, for a device other than the
            host; what follows from a peak is then a shift.
        host: the same on the host, where the device is another.
    """

    target: TargetState
    frame: SampleFrame
    base_size: Array
    scale_limits: Array
    image_size: Array
    trail: Array
    jitter: Array
    score_side: int
    feature_side: int
    cells: tuple[Array, Array, Array, Array] | None = None
    starts: Tensor | None = None
    host: Search | None = None

    @property
    def pixels_per_cell(self) -> float:
        """Sample pixels per cell of the score map, a float32 number."""
        return float(np.float32(self.frame.size) / np.float32(self.feature_side))

    def in_cells(self, velocity_weight: float = 0.0) -> tuple[Array, Array, Array, Array]:
        """In cells of the score map, [N, 2] each: (y, x) of the targets from the samples' centres, their (height,
        width), and (y, x) of where they are expected and of the last frame's second peaks."""
        if self.cells is not None:
            return self.cells
        cell, here = (self.pixels_per_cell * self.frame.scale)[:, None], self.target.position - self.frame.position
        expected, other = here + velocity_weight * self.trail[:, :2], self.trail[:, 2:] - self.frame.position
        return here / cell, self.target.size / cell, expected / cell, other / cell

    @property
    def here(self) -> Search:
        """The same on the host."""
        return self.host or self

    def to(
        self, device: torch.device, params: TrackerParameters, regions: Sequence[np.ndarray]
    ) -> tuple[Search, Tensor]:
        """The same and the samples [N, 3, S, S] on a device, all in one copy: the pixels cross as bytes.

        Args:
            params: how boxes are proposed.
            regions: [h, w, 3] uint8 that the samples show, for each target.
        """
        size, starts = self.frame.size, propose(self.frame.box_of(self.target), self.jitter, params)
        height, width = (max(region.shape[axis] for region in regions) for axis in (0, 1))
        # The last row and column are repeated, so that the same number is resized of each.
        pixels = np.stack(
            [
                np.pad(each, ((0, height - each.shape[0]), (0, width - each.shape[1]), (0, 0)), "edge")
                for each in regions
            ]
        )
        parts = [
            np.array([[each.shape[1] / width, each.shape[0] / height] for each in regions], np.float32) / size,
            self.target.rows(),
            self.frame.position,
            self.frame.scale[:, None],
            self.base_size,
            self.scale_limits,
            self.image_size,
            *self.in_cells(params.velocity_weight),
            starts.reshape(len(starts), -1),
        ]
        rows = torch.from_numpy(np.concatenate(parts, axis=1))
        whole = send(torch.cat([rows.view(torch.uint8).flatten(), torch.from_numpy(pixels).flatten()]), device)
        rows, sent = whole[: rows.nbytes].view(torch.float32).view(rows.shape), whole[rows.nbytes :].view(pixels.shape)
        shares, target, position, scale, base, limits, image, *cells, begin = rows.split(
            [part.shape[1] for part in parts], dim=1
        )
        place, extent, expected, other = cells
        search = Search(
            TargetState.from_rows(target),
            SampleFrame(position, scale[:, 0], size),
            base,
            limits,
            image,
            self.trail,
            self.jitter,
            self.score_side,
            self.feature_side,
            (place, extent, expected, other),
            begin.unflatten(1, starts.shape[1:]),
            self,
        )
        return search, _resized(sent.permute(0, 3, 1, 2), shares, size)


def _resized(pixels: Tensor, shares: Tensor, size: int) -> Tensor:
    """Samples [N, 3, size, size] float32 of what the first part of each image [N, 3, h, w] uint8 shows.

    Args:
        shares: [N, 2] that part of the width and of the height, over `size`.
    """
    # A sample's pixel k has its middle at (2 k + 1) / 2 of it; -1 and 1 are the ends of the whole.
    origin, middles = _middles(size, pixels.device)
    places = torch.addcmul(origin, middles, shares[:, None, None])
    return grid_sample(pixels.float(), places, padding_mode="border", align_corners=False)


@lru_cache(16)
def _middles(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """-1, and (2 x + 1, 2 y + 1) of pixels, [size, size, 2]."""
    odd = torch.arange(size) * 2.0 + 1
    return torch.tensor(-1.0).to(device), torch.stack(torch.meshgrid(odd, odd, indexing="xy"), dim=2).to(device)


def image_sizes(images: Iterable[np.ndarray]) -> np.ndarray:
    """(height, width) of images, [N, 2]."""
    return np.array([image.shape[:2] for image in images], np.float32)


def crop_patch(
    image: np.ndarray,
    position: Sequence[float],
    size: float,
    output_size: int,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[Tensor, np.ndarray]:
    """Crop a square around a position and resize it (crop rule of docs/reference.md, section 4).

    OpenCV resizes, which is quicker than torch; `ltr.ops.crops.sample_patch` gives the same to rounding.

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
    region, shown = cut_region(image, position, size, output_size, border_mode, max_scale_change)
    pixels = cv2.resize(region.astype(np.float32), (output_size, output_size), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(cv2.dnn.blobFromImage(pixels)), shown


def cut_region(
    image: np.ndarray,
    position: Sequence[float],
    size: float,
    output_size: int,
    border_mode: str = "replicate",
    max_scale_change: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What `crop_patch` resizes, [h, w, 3] uint8, and the image region that it shows; arguments and errors as there."""
    rows, columns, shown = patch_lines(
        _checked(image).shape[:2], position, (size, size), (output_size, output_size), border_mode, max_scale_change
    )
    region = _thinned(image[rows.first : rows.last + 1 : rows.step], columns)
    if rows.before or rows.after or columns.before or columns.after:
        margins = rows.before, rows.after, columns.before, columns.after
        region = cv2.copyMakeBorder(region, *margins, cv2.BORDER_REPLICATE)
    return region, shown


def _thinned(image: np.ndarray, columns: Lines) -> np.ndarray:
    """The image's own columns among some."""
    count = (columns.last - columns.first) // columns.step + 1
    wide = image[:, columns.first : columns.first + count * columns.step]
    if 1 < columns.step <= _QUICK_STEP and wide.shape[1] == count * columns.step:
        # The same pixels, four times as quickly.
        return cv2.resize(wide, (count, len(wide)), interpolation=cv2.INTER_NEAREST)
    return wide[:, :: columns.step]


def _checked(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be a uint8 RGB array of shape [H, W, 3], got {image.dtype} {list(image.shape)}")
    return image


def checked_images(images: Mapping[int, np.ndarray]) -> tuple[dict[int, np.ndarray], dict[int, ValueError]]:
    """The good images as uint8 RGB, and what is wrong with the others."""
    good, errors = {}, {}
    for slot, image in images.items():
        try:
            good[slot] = as_image(image)
        except ValueError as error:
            errors[slot] = error
    return good, errors
