"""Augmentation of the first frame: one expanded patch becomes the samples that the target model starts from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Rotation looks pixels up at multiples of 1/32, from coordinates rounded to 1/1024, as cv2.warpAffine did up to
# OpenCV 4; OpenCV 5 interpolates exactly. Doing it here keeps one result for every OpenCV and every device.
_COORDINATE_STEPS = 1024
_PIXEL_STEPS = 32

Transform = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Which copies of the first frame are made besides the frame itself (docs/reference.md, section 4).

    Attributes:
        relative_shift: (rows, columns) shifts as fractions of half the sample size.
        fliplr: whether to add a left-right flip.
        blur: Gaussian standard deviations (rows, columns) in sample pixels.
        rotate: angles in degrees.
        dropout: number of copies of the first sample with whole feature channels dropped, and the probability.
    """

    relative_shift: tuple[tuple[float, float], ...] = ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6))
    fliplr: bool = True
    blur: tuple[tuple[float, float], ...] = ((3.0, 1.0), (1.0, 3.0), (2.0, 2.0))
    rotate: tuple[float, ...] = (10.0, -10.0, 45.0, -45.0)
    dropout: tuple[int, float] = (2, 0.2)


NO_AUGMENTATION = Augmentation(relative_shift=(), fliplr=False, blur=(), rotate=(), dropout=(0, 0.0))


def expanded_size(sample_size: int, factor: float) -> int:
    """Side of the patch that the augmented samples are cut from: factor x sample size, of the sample's parity."""
    size = int(sample_size * factor)
    return size + (size - sample_size) % 2


def augment_first_frame(
    patch: Tensor,
    sample_size: int,
    augmentation: Augmentation,
    random_shift_factor: float | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut the first-frame samples out of an expanded patch (docs/reference.md, section 4).

    Args:
        patch: [1, 3, P, P] float, the target at its centre, P >= sample_size of the same parity.
        sample_size: side S of the samples.
        augmentation: the transforms; their order is identity, shifts, flip, blurs, rotations.
        random_shift_factor: flip, blur and rotation samples are each moved by up to half this fraction of S on either
            axis; None moves none.
        generator: generator of the shifts, on the CPU; None for torch's default generator.

    Returns:
        samples [n, 3, S, S], and the shift [n, 2] (rows, columns) by which the content of each was moved.
    """
    plan = _plan(augmentation, sample_size, random_shift_factor, generator)
    samples = [transform(patch, *_window(patch, sample_size, shift)) for transform, shift in plan]
    shifts = torch.tensor([shift for _, shift in plan], dtype=patch.dtype, device=patch.device)
    return torch.cat(samples), shifts


def drop_feature_channels(
    features: Tensor, augmentation: Augmentation, generator: torch.Generator | None = None
) -> Tensor:
    """Copies of one sample's features with whole channels dropped, the kept ones scaled by 1/(1-p).

    Args:
        features: [1, C, F, F], the features of the untransformed sample.
        generator: generator of the channels, on the CPU; None for torch's default generator.

    Returns:
        [number of copies, C, F, F].
    """
    copies, probability = augmentation.dropout
    kept = torch.rand(copies, features.shape[1], 1, 1, generator=generator) >= probability
    return features * (kept.to(features) / (1 - probability))


def _plan(
    augmentation: Augmentation, sample_size: int, random_shift_factor: float | None, generator: torch.Generator | None
) -> list[tuple[Transform, tuple[int, int]]]:
    """Each sample's transform and the shift of its content in whole pixels."""
    half = sample_size / 2
    plan: list[tuple[Transform, tuple[int, int]]] = [(_identity, (0, 0))]
    plan += [(_identity, (int(rows * half), int(columns * half))) for rows, columns in augmentation.relative_shift]

    moved: list[Transform] = [_flip] if augmentation.fliplr else []
    moved += [_blur(sigma) for sigma in augmentation.blur]
    moved += [_rotate(degrees) for degrees in augmentation.rotate]
    return plan + [(transform, _random_shift(sample_size, random_shift_factor, generator)) for transform in moved]


def _random_shift(sample_size: int, factor: float | None, generator: torch.Generator | None) -> tuple[int, int]:
    if factor is None:
        return 0, 0
    rows, columns = ((torch.rand(2, generator=generator) - 0.5) * sample_size * factor).long().tolist()
    return rows, columns


def _window(patch: Tensor, sample_size: int, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of the patch that the sample shows; where it leaves the patch, the border's are repeated."""
    height, width = patch.shape[-2:]
    inside = torch.arange(sample_size, device=patch.device)
    rows = (inside + (height - sample_size) // 2 - shift[0]).clamp(0, height - 1)
    columns = (inside + (width - sample_size) // 2 - shift[1]).clamp(0, width - 1)
    return rows, columns


def _identity(patch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return patch[..., rows[:, None], columns]


def _flip(patch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return patch[..., rows[:, None], patch.shape[-1] - 1 - columns]


def _blur(sigma: tuple[float, float]) -> Transform:
    """Separable Gaussian, normalised, of half-width ceil(2 sigma) on each axis."""

    def blur(patch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        channels = patch.shape[1]
        for axis, deviation in zip((2, 3), sigma):
            if deviation > 0:
                half_width = math.ceil(2 * deviation)
                offsets = torch.arange(-half_width, half_width + 1, dtype=patch.dtype, device=patch.device)
                kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
                shape, padding = [1, 1, 1, 1], [0, 0, 0, 0]
                shape[axis] = -1
                padding[(3 - axis) * 2 : (3 - axis) * 2 + 2] = [half_width, half_width]
                kernel = (kernel / kernel.sum()).reshape(shape).expand(channels, -1, -1, -1)
                patch = F.conv2d(F.pad(patch, padding, mode="replicate"), kernel, groups=channels)
        return _identity(patch, rows, columns)

    return blur


def _rotate(degrees: float) -> Transform:
    """Rotation about the patch's centre, bilinear, the border repeated."""

    def rotate(patch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        height, width = patch.shape[-2:]
        source_x, source_y = _rotated_coordinates(degrees, height, width, rows, columns)
        left, top = source_x.div(_PIXEL_STEPS, rounding_mode="floor"), source_y.div(_PIXEL_STEPS, rounding_mode="floor")
        to_right = (source_x % _PIXEL_STEPS).to(patch.dtype) / _PIXEL_STEPS
        down = (source_y % _PIXEL_STEPS).to(patch.dtype) / _PIXEL_STEPS
        columns_0, columns_1 = left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)
        rows_0, rows_1 = top.clamp(0, height - 1), (top + 1).clamp(0, height - 1)
        return (
            patch[..., rows_0, columns_0] * ((1 - to_right) * (1 - down))
            + patch[..., rows_0, columns_1] * (to_right * (1 - down))
            + patch[..., rows_1, columns_0] * ((1 - to_right) * down)
            + patch[..., rows_1, columns_1] * (to_right * down)
        )

    return rotate


def _rotated_coordinates(
    degrees: float, height: int, width: int, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the pixels of a rotated patch come from: x and y [rows, columns] in whole 1/32 pixels."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    start_x = centre_x - cosine * centre_x + sine * centre_y
    start_y = centre_y - sine * centre_x - cosine * centre_y
    x, y = columns.double(), rows.double()
    # Both parts are rounded on their own before they are added: that is the fixed point of the reference.
    along_x = [_fixed_point(cosine * x), _fixed_point(sine * x)]
    along_y = [_fixed_point(start_x - sine * y), _fixed_point(start_y + cosine * y)]
    per_step = _COORDINATE_STEPS // _PIXEL_STEPS
    source = [
        (of_row[:, None] + of_column + per_step // 2).div(per_step, rounding_mode="floor")
        for of_row, of_column in zip(along_y, along_x)
    ]
    return source[0], source[1]


def _fixed_point(coordinate: Tensor) -> Tensor:
    return (coordinate * _COORDINATE_STEPS).round().long()
