"""Cut-outs: objects with masks, the material of composited video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ltr.data.image import read_image, read_mask, read_rgba
from ltr.errors import ImageError

_LONGEST = 256
_SMALLEST = 20
# Composited targets get down to this square root of area, in pixels; some of the object must be left there.
_SHRUNK = 10
_COVER = (0.12, 0.97)
_MAX_BORDER = 0.35


class Cutouts(Protocol):
    """Objects to composite videos of."""

    def __len__(self) -> int:
        """Number of objects."""
        ...

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 RGBA [h, w, 4], cut to its outline; the colours are multiplied by alpha."""
        ...


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
        """uint8 RGBA [h, w, 4], cut to its mask, at most 256 pixels long; the colours are multiplied by alpha."""
        return _read_cutout(*self.entries[index])


# At most 256 KB each; filled while choosing usable ones, before worker processes are forked, so that they share it.
@lru_cache(maxsize=4096)
def _read_cutout(image: Path, mask: Path | None) -> np.ndarray:
    if mask is None:
        rgba = read_rgba(image)
    else:
        colour, alpha = read_image(image), read_mask(mask)
        if alpha.shape != colour.shape[:2]:
            raise ImageError(
                f"{mask} has {alpha.shape[1]} x {alpha.shape[0]} pixels, its image {image} has "
                f"{colour.shape[1]} x {colour.shape[0]}"
            )
        rgba = np.dstack((colour, alpha))
    return cut_out(rgba)


def cut_out(rgba: np.ndarray) -> np.ndarray:
    """Cut an image uint8 RGBA [H, W, 4] to its opaque part, at most 256 pixels long; multiply the colours by alpha."""
    x, y, w, h = cv2.boundingRect((rgba[..., 3] > 127).astype(np.uint8))
    rgba = rgba[y : y + h, x : x + w].copy()
    # What lies under the transparent part would else shine through at the edges of a resized or moved cut-out.
    opacity = cv2.merge([rgba[..., 3]] * 3)
    rgba[..., :3] = cv2.multiply(np.ascontiguousarray(rgba[..., :3]), opacity, scale=1 / 255)
    scale = _LONGEST / max(h, w, 1)
    if scale < 1:
        size = (max(round(w * scale), 1), max(round(h * scale), 1))
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(rgba)


def find_cutouts(folder: Path) -> list[tuple[Path, Path | None]]:
    """Cut-outs of a folder: `rgba/*.png`, or `images/` with `masks/<image>.png` or `masks/<image>_<...>.png`.

    Raises:
        ImageError: a mask has no image.
    """
    found: list[tuple[Path, Path | None]] = [(path, None) for path in sorted((folder / "rgba").glob("*.png"))]
    images = {path.stem: path for path in sorted((folder / "images").glob("*")) if path.is_file()}
    for mask in sorted((folder / "masks").glob("*.png")):
        image = next((images[name] for name in _prefixes(mask.stem) if name in images), None)
        if image is None:
            raise ImageError(
                f"{mask} has no image: wanted {folder / 'images'}/{mask.stem}.jpg or a name it begins with"
            )
        found.append((image, mask))
    return found


def _prefixes(name: str) -> Iterator[str]:
    """`a_b_c`, `a_b`, `a`."""
    parts = name.split("_")
    for count in range(len(parts), 0, -1):
        yield "_".join(parts[:count])


def usable(rgba: np.ndarray) -> bool:
    """Whether a cut-out [h, w, 4] is big enough, filled enough (also when shrunk), and not cut off at its borders."""
    opaque = rgba[..., 3] > 127
    if min(opaque.shape) < _SMALLEST:
        return False
    border = np.concatenate((opaque[0], opaque[-1], opaque[:, 0], opaque[:, -1]))
    if not (_COVER[0] < opaque.mean() < _COVER[1] and border.mean() < 2 * _MAX_BORDER):
        return False
    scale = _SHRUNK / float(np.sqrt(opaque.size))
    size = (max(round(opaque.shape[1] * scale), 2), max(round(opaque.shape[0] * scale), 2))
    return bool((cv2.resize(rgba[..., 3], size, interpolation=cv2.INTER_AREA) > 127).any())


def usable_cutouts(entries: Iterable[tuple[Path, Path | None]]) -> list[tuple[Path, Path | None]]:
    """Those of the cut-outs that are `usable`; every file is read once."""
    return [entry for entry in entries if usable(_read_cutout(*entry))]
