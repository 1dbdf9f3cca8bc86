"""Cut-outs: objects with masks, the material of composited video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ltr.data.image import read_image, read_mask, read_rgba

_LONGEST = 256
_SMALLEST = 20
_COVER = (0.12, 0.97)
_MAX_BORDER = 0.35


class CutoutSource:
    """A list of cut-outs on disk, read when asked for: RGBA files, or images with masks.

    Args:
        entries: (image, mask) paths; mask None for an RGBA file.
    """

    def __init__(self, entries: Sequence[tuple[Path, Path | None]]) -> None:
        self.entries = list(entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 RGBA [h, w, 4], cut to its mask, at most 256 pixels long."""
        return _read_cutout(*self.entries[index])


@lru_cache(maxsize=512)
def _read_cutout(image: Path, mask: Path | None) -> np.ndarray:
    if mask is None:
        rgba = read_rgba(image)
    else:
        colour, alpha = read_image(image), read_mask(mask)
        if alpha.shape != colour.shape[:2]:
            alpha = cv2.resize(alpha, (colour.shape[1], colour.shape[0]), interpolation=cv2.INTER_LINEAR)
        rgba = np.dstack((colour, alpha))
    x, y, w, h = cv2.boundingRect((rgba[..., 3] > 127).astype(np.uint8))
    rgba = rgba[y : y + h, x : x + w]
    scale = _LONGEST / max(h, w, 1)
    if scale < 1:
        size = (max(round(w * scale), 1), max(round(h * scale), 1))
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(rgba)


def find_cutouts(folder: Path) -> list[tuple[Path, Path | None]]:
    """Cut-outs of a folder: `rgba/*.png`, or `images/` with `masks/<image>.png` or `masks/<image>_<...>.png`.

    A mask whose image is missing is left out.
    """
    found: list[tuple[Path, Path | None]] = [(path, None) for path in sorted((folder / "rgba").glob("*.png"))]
    images = {path.stem: path for path in sorted((folder / "images").glob("*")) if path.is_file()}
    for mask in sorted((folder / "masks").glob("*.png")):
        image = images.get(mask.stem) or images.get(mask.stem.split("_")[0])
        if image is not None:
            found.append((image, mask))
    return found


def usable(rgba: np.ndarray) -> bool:
    """Whether a cut-out is big enough, filled enough, and not cut off at the borders of its image."""
    opaque = rgba[..., 3] > 127
    if min(opaque.shape) < _SMALLEST:
        return False
    border = np.concatenate((opaque[0], opaque[-1], opaque[:, 0], opaque[:, -1]))
    return bool(_COVER[0] < opaque.mean() < _COVER[1] and border.mean() < 2 * _MAX_BORDER)


def usable_cutouts(entries: Iterable[tuple[Path, Path | None]]) -> list[tuple[Path, Path | None]]:
    """Those of the cut-outs that are `usable`; every file is read once."""
    return [entry for entry in entries if usable(_read_cutout(*entry))]
