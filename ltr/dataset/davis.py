"""Boxes from DAVIS-style masks: `JPEGImages/<size>/<video>/00000.jpg`, `Annotations/<size>/<video>/00000.png`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ltr.admin.inputs import read_bytes
from ltr.data.image import read_header
from ltr.dataset.layout import SequenceFiles, list_images
from ltr.errors import AnnotationError, MissingFileError, UserError

_SIZES = ("480p", "Full-Resolution", "1080p", ".")
_UNLABELLED = 255


def list_davis(root: Path) -> list[SequenceFiles]:
    """One sequence for each object of a video's first mask: '<video>', or '<video>_<object>' where it has several.

    Raises:
        MissingFileError: no such folder, or no masks in it.
    """
    size = next((size for size in _SIZES if any((root / "Annotations" / size).glob("*/*.png"))), None)
    if size is None:
        raise MissingFileError(
            f"{root}: no masks; expected Annotations/480p/<video>/00000.png and JPEGImages/480p/<video>"
        )
    found = []
    for masks in sorted({file.parent for file in (root / "Annotations" / size).glob("*/*.png")}):
        frames = root / "JPEGImages" / size / masks.name
        try:
            objects, problem = mask_objects(read_mask(list_images(masks)[0])), ""
        except UserError as error:
            objects, problem = [_UNLABELLED], str(error)
        for number in objects:
            name = masks.name if len(objects) == 1 else f"{masks.name}_{number}"
            read = partial(_read_boxes, frames, masks, number)
            found.append(
                SequenceFiles(name, "davis", root, (frames,), masks, numbered=False, masks=read, problem=problem)
            )
    return found


def read_mask(path: Path) -> np.ndarray:
    """The object numbers [H, W] uint8 of a mask file: grey values, or indices of the VOC palette DAVIS colours with.

    Raises:
        AnnotationError: the file is missing, is too large, or is not an image of 8 bits.
    """
    try:
        # The header before the pixels: what it announces is limited.
        read_header(path)
        image = cv2.imdecode(np.frombuffer(read_bytes(path, error=AnnotationError), np.uint8), cv2.IMREAD_UNCHANGED)
    except (UserError, cv2.error) as error:
        raise AnnotationError(f"{path}: cannot be decoded as a mask: {error}") from None
    if image is None or image.dtype != np.uint8:
        raise AnnotationError(f"{path}: cannot be decoded as a mask of 8 bits")
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
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return np.array([x, y, width, height], np.float64)


def _read_boxes(frames: Path, masks: Path, number: int) -> np.ndarray:
    """The boxes [T, 4] of an object. Raises AnnotationError where the masks are not those of the frames."""
    images, files = list_images(frames), list_images(masks)
    if len(files) > 1 and [_numbers(file) for file in files] != [_numbers(image) for image in images]:
        raise AnnotationError(f"{masks}: its {len(files)} masks are not those of the {len(images)} frames in {frames}")
    return np.stack([mask_box(read_mask(file) == number) for file in files])


def _numbers(file: Path) -> list[str]:
    return [part.lstrip("0") for part in re.findall(r"[0-9]+", file.stem)]
