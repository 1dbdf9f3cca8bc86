"""Boxes from DAVIS-style masks: `JPEGImages/<size>/<video>/00000.jpg`, `Annotations/<size>/<video>/00000.png`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.folderdataset import list_frames
from pytracking.evaluation.layout import checked_sequence

_SIZES = ("480p", "Full-Resolution", "1080p", ".")
_UNLABELLED = 255


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """One sequence for each object of a video's first mask: '<video>', or '<video>_<object>' where it has several."""
    root = dataset_root("davis", path)
    size = next((size for size in _SIZES if any((root / "Annotations" / size).glob("*/*.png"))), None)
    if size is None:
        raise UserError(f"{root}: no masks; expected Annotations/480p/<video>/00000.png and JPEGImages/480p/<video>")
    found: dict[str, Callable[[], Sequence]] = {}
    for masks in sorted({file.parent for file in (root / "Annotations" / size).glob("*/*.png")}):
        frames = root / "JPEGImages" / size / masks.name
        objects = mask_objects(read_mask(list_frames(masks)[0]))
        for number in objects:
            name = masks.name if len(objects) == 1 else f"{masks.name}_{number}"
            found[name] = partial(_read, name, frames, masks, number)
    return found


def read_mask(path: Path) -> np.ndarray:
    """The object numbers [H, W] uint8 of a mask file: grey values, or indices of the VOC palette DAVIS colours with.

    Raises:
        UserError: the file is missing or is not an image.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise UserError(f"{path}: no such mask") from None
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None or image.dtype != np.uint8:
        raise UserError(f"{path}: cannot be decoded as a mask of 8 bits")
    if image.ndim == 2:
        return image
    # The palette spreads an index's bits over the colours: bits 0, 1, 2 are the top bits of red, green and blue.
    numbers = np.zeros(image.shape[:2], np.uint8)
    for bit in range(8):
        plane = image[..., 2 - bit % 3]
        numbers |= ((plane >> (7 - bit // 3)) & 1) << bit
    return numbers


def mask_objects(mask: np.ndarray) -> list[int]:
    """The object numbers of a mask [H, W]; 255 is the object of a two-valued mask, else 'unlabelled'."""
    numbers = [int(number) for number in np.unique(mask) if number]
    return numbers if numbers == [_UNLABELLED] else [number for number in numbers if number != _UNLABELLED]


def mask_box(mask: np.ndarray) -> np.ndarray:
    """The tight box [4] float64 (x, y, w, h) of a mask [H, W] bool, 0-based; NaN where it is empty."""
    if not mask.any():
        return np.full(4, np.nan)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    x, y = columns[0], rows[0]
    return np.array([x, y, columns[-1] - x + 1, rows[-1] - y + 1], np.float64)


def _read(name: str, frames: Path, masks: Path, number: int) -> Sequence:
    images, files = list_frames(frames), list_frames(masks)
    if len(files) > 1 and [_number(file) for file in files] != [_number(image) for image in images]:
        raise UserError(f"{masks}: its {len(files)} masks are not those of the {len(images)} frames in {frames}")
    boxes = np.stack([mask_box(read_mask(file) == number) for file in files])
    return checked_sequence(
        name=name,
        frames=images,
        dataset="davis",
        ground_truth_rect=boxes,
        annotation_path=masks,
        target_visible=np.isfinite(boxes).all(axis=1),
    )


def _number(file: Path) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", file.stem)]
