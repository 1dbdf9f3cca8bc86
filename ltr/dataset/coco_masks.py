"""Masks in COCO's notation (polygons and run lengths), and cut-outs made from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ltr.data.image import read_annotated, read_header
from ltr.dataset.cutouts import cut_out
from ltr.errors import AnnotationError

if TYPE_CHECKING:
    from ltr.dataset.coco_format import CocoObject

# OpenCV takes polygon corners in these parts of a pixel.
_SHIFT = 4
_SMALLEST = 20.0


def decode_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask, uint8 [H, W], 255 on the object.

    Args:
        segmentation: polygons `[[x, y, x, y, ...], ...]`, or run lengths `{"size": [H, W], "counts": ...}`.
        size: (width, height) of the image, for polygons.

    Raises:
        AnnotationError: it is neither, run lengths do not fill their mask, or they are compressed and pycocotools is
            not installed.
    """
    if isinstance(segmentation, dict):
        return _from_run_lengths(segmentation)
    mask = np.zeros((size[1], size[0]), np.uint8)
    # Corners are continuous, with pixel centres at halves; OpenCV's are at integers.
    corners = [np.round((polygon - 0.5) * (1 << _SHIFT)).astype(np.int32) for polygon in _polygons(segmentation)]
    return cv2.fillPoly(mask, corners, 255, shift=_SHIFT)


def mask_box(segmentation: Any) -> tuple[float, float, float, float]:
    """The tight box (x, y, w, h) of a mask, in pixels; of no size where the mask is empty. Errors as `decode_mask`."""
    if isinstance(segmentation, dict):
        x, y, w, h = cv2.boundingRect(_from_run_lengths(segmentation))
        return float(x), float(y), float(w), float(h)
    corners = np.concatenate(_polygons(segmentation))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _polygons(segmentation: Any) -> list[np.ndarray]:
    try:
        polygons = [np.asarray(polygon, dtype=float).reshape(-1, 2) for polygon in segmentation]
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"not a polygon: {str(segmentation)[:60]}") from error
    if not polygons or any(len(polygon) < 3 for polygon in polygons):
        raise AnnotationError(f"a polygon needs three corners: {str(segmentation)[:60]}")
    return polygons


def _from_run_lengths(segmentation: dict[str, Any]) -> np.ndarray:
    try:
        height, width = (int(value) for value in segmentation["size"])
        counts = segmentation["counts"]
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"run lengths need 'size' and 'counts': {error!r}") from error
    if _is_compressed(segmentation):
        return _from_compressed(segmentation)
    runs = np.asarray(counts, dtype=np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise AnnotationError(f"run lengths of {int(runs.sum())} pixels do not fill a mask of {width} x {height}")
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 255
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _from_compressed(segmentation: dict[str, Any]) -> np.ndarray:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise AnnotationError("compressed masks need pycocotools: pip install 'ebm-tracking[coco]'") from error
    return np.ascontiguousarray(mask.decode({**segmentation, "counts": segmentation["counts"].encode()}) * 255)


class MaskCutouts:
    """Cut-outs from the masks of a COCO-format file, for composited video.

    Objects that are small or touch the border of their image, where they may be cut off, are left out.

    Args:
        objects: as `ltr.dataset.coco_format.read_objects` gives them.
        folder: the images.
        smallest: shortest side of an object's box, in pixels.

    Raises:
        AnnotationError: a mask is compressed and pycocotools is not installed.
    """

    def __init__(self, objects: Sequence[CocoObject], folder: Path, smallest: float = _SMALLEST) -> None:
        self.folder = folder
        self.objects = [item for item in objects if item.segmentation and _whole(item, smallest)]
        # Here, rather than in a worker in the middle of a run.
        compressed = next((item.segmentation for item in self.objects if _is_compressed(item.segmentation)), None)
        if compressed is not None:
            decode_mask(compressed, (0, 0))

    def __len__(self) -> int:
        return len(self.objects)

    def alike(self, index: int, rng: np.random.Generator) -> int:
        """Any object: what looks like what would take reading all of them."""
        return int(rng.integers(len(self)))

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """The only look of an object: uint8 RGBA [h, w, 4], cut to its mask; the colours are multiplied by alpha.

        Raises:
            ImageError: the image cannot be read.
            AnnotationError: the mask cannot be read, or is of another size than the image.
        """
        item = self.objects[index]
        path = self.folder / item.image
        header = read_header(path)
        mask = decode_mask(item.segmentation, header.size if item.size == (0, 0) else item.size)
        if not header.has(mask.shape[1::-1]):
            raise AnnotationError(
                f"{path} has {header.size[0]} x {header.size[1]} pixels, the mask of annotation {item.identity} has "
                f"{mask.shape[1]} x {mask.shape[0]}"
            )
        return (cut_out(np.dstack((read_annotated(path, mask.shape[1::-1]), mask))),)


def _is_compressed(segmentation: Any) -> bool:
    return isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str)


def _whole(item: CocoObject, smallest: float) -> bool:
    x, y, w, h = item.box
    inside = x >= 2 and y >= 2 and (not item.size[0] or (x + w <= item.size[0] - 2 and y + h <= item.size[1] - 2))
    return inside and min(w, h) >= smallest
