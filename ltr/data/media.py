"""What images and videos share: only regular files, a limit on pixels, and the way from more than 8 bits to 8."""

from __future__ import annotations

import os
import sys

import numpy as np

from ltr.admin.inputs import check_regular
from ltr.errors import UserError

# Twice an 8K frame, 200 MB as RGB.
MAX_PIXELS = 1 << 26
_HIGHEST = (1 << 16) - 1
# Percentiles of so many values are as good as of all.
_SAMPLED = 1 << 20
# An image of `MAX_PIXELS` with 16 bits a channel, stored as it is, has 400 MB.
_LARGEST_IMAGE = 1 << 29


def media_status(path: str | os.PathLike[str], kind: str, error: type[UserError] = UserError) -> os.stat_result:
    """The status of the regular file of an image or a video; anything else is refused before it is opened.

    Args:
        kind: 'image', which has a limit on its bytes, or 'video'.

    Raises:
        UserError: the file is missing, a folder, a pipe, a socket or a device, or too large for an image.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as reason:
        raise error(f"cannot read the {kind} {path}: {getattr(reason, 'strerror', reason)}") from None
    check_regular(path, status, kind, _LARGEST_IMAGE if kind == "image" else sys.maxsize, error)
    return status


def too_large(path: str | os.PathLike[str], width: int, height: int) -> str:
    """The message for an image or video of more than `MAX_PIXELS` pixels."""
    return f"{path} claims {width} x {height} pixels; more than {MAX_PIXELS:,} are not read: make the picture smaller"


def find_levels(image: np.ndarray) -> tuple[float, float] | None:
    """The values of more than 8 bits that become black and white, chosen from a sequence's first frame.

    Where its 0.1 and 99.9 percentiles lie at least half of all values apart, as in an ordinary picture, these are the
    lowest and the highest value there is. A thermal camera uses a small part of its values: its percentiles become 16
    and 239, which leaves room for a target that gets hotter or colder later.

    Args:
        image: [H, W] or [H, W, C] of uint16; [H, W, C] share their levels, which keeps the colours.

    Returns:
        (black, white); None for an image of one value, such as a closed shutter, which tells nothing.
    """
    step = max(1, round((image.size / _SAMPLED) ** 0.5))
    low, high = (float(value) for value in np.percentile(image[::step, ::step], (0.1, 99.9)))
    if low == high:
        return None
    if high - low >= _HIGHEST / 2:
        return 0.0, float(_HIGHEST)
    margin = (high - low) * 16 / 223
    return low - margin, high + margin


def to_8_bits(image: np.ndarray, levels: tuple[float, float] | None) -> np.ndarray:
    """The image as uint8, with the values `levels` as black and white (None: all there are), and the rest cut off."""
    black, white = levels or (0.0, float(_HIGHEST))
    table = np.clip((np.arange(_HIGHEST + 1) - black) * (255 / (white - black)), 0, 255).round().astype(np.uint8)
    return table[image]


def turned(image: np.ndarray, transposed: bool, down: bool, right: bool) -> np.ndarray:
    """An image [H, W, ...] perhaps transposed, then perhaps mirrored from top to bottom and from left to right."""
    image = image.swapaxes(0, 1) if transposed else image
    return np.ascontiguousarray(image[:: -1 if down else 1, :: -1 if right else 1])
