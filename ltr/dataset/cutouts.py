"""Cut-outs: objects with masks, standing still or cut from the frames of a video; the material of composited video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np

from ltr.data.image import read_image, read_mask, read_rgba
from ltr.errors import ImageError

_LONGEST = 256
_SMALLEST = 20
# Composited targets get down to this square root of area, in pixels; some of the object must be left there.
_SHRUNK = 8
_COVER = (0.12, 0.97)
_MAX_BORDER = 0.35
_NEIGHBOURS = 6
_SECOND_OBJECT = 0.15
_FEWEST_LOOKS = 8


# An object's picture (an image and its mask; mask None for an RGBA file), or its pictures in successive frames.
Entry = tuple[tuple[Path, Path | None], ...]


class CutoutSource:
    """A list of cut-outs on disk, an entry an object, read when asked for."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = list(entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Looks of an object, uint8 RGBA [h, w, 4] each, at most 256 pixels long, all at one scale."""
        return _read_cutouts(self.entries[index])

    @cached_property
    def _neighbours(self) -> dict[Entry, np.ndarray]:
        """The nearest objects of every object, as indices, by colour and shape at eight by eight pixels."""
        # An object may be listed several times, to be drawn more often; it is no look-alike of itself.
        indices = np.array(list({entry: index for index, entry in enumerate(self.entries)}.values()))
        looks = [self[index][0] for index in indices]
        small = [cv2.resize(look, (8, 8), interpolation=cv2.INTER_AREA).ravel() for look in looks]
        points = np.stack(small).astype(np.float32)
        squares = (points**2).sum(axis=1)
        distances = squares[:, None] + squares - 2 * points @ points.T
        np.fill_diagonal(distances, np.inf)
        nearest = np.argsort(distances, axis=1)[:, : min(_NEIGHBOURS, len(indices) - 1)]
        return {self.entries[index]: indices[row] for index, row in zip(indices, nearest)}

    def alike(self, index: int, rng: np.random.Generator) -> int:
        """One of the six objects that are nearest in colour and shape; the object itself where there is no other."""
        nearest = self._neighbours[self.entries[index]]
        return int(rng.choice(nearest)) if len(nearest) else index


# At most 256 KB a look; filled while choosing usable ones, before worker processes are forked, so that they share it.
@lru_cache(maxsize=8192)
def _read_cutouts(entry: Entry) -> tuple[np.ndarray, ...]:
    whole = [_cut(_read_rgba(image, mask, len(entry) == 1)) for image, mask in entry]
    scale = min(_LONGEST / max(max(look.shape[:2]) for look in whole), 1.0)
    return tuple(shrunk(look, scale) for look in whole)


def _read_rgba(image: Path, mask: Path | None, single: bool) -> np.ndarray:
    if mask is None:
        return read_rgba(image)
    colour, alpha = read_image(image), read_mask(mask)
    if alpha.shape != colour.shape[:2]:
        raise ImageError(
            f"{mask} has {alpha.shape[1]} x {alpha.shape[0]} pixels, its image {image} has "
            f"{colour.shape[1]} x {colour.shape[0]}"
        )
    return np.dstack((colour, largest_object(alpha) if single else alpha))


def largest_object(alpha: np.ndarray) -> np.ndarray:
    """A mask [H, W] with its largest connected part only, where the second has a fair size and so may be an object."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((alpha > 127).astype(np.uint8))
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if count < 3 or np.sort(areas)[-2] < _SECOND_OBJECT * areas.max():
        return alpha
    # A little around it, where alpha is soft.
    kept = cv2.dilate((labels == 1 + areas.argmax()).astype(np.uint8), np.ones((3, 3), np.uint8))
    return alpha * kept


def cut_out(rgba: np.ndarray) -> np.ndarray:
    """Cut an image uint8 RGBA [H, W, 4] to its opaque part, at most 256 pixels long; multiply the colours by alpha."""
    whole = _cut(rgba)
    return shrunk(whole, min(_LONGEST / max(whole.shape[:2]), 1.0))


def _cut(rgba: np.ndarray) -> np.ndarray:
    x, y, w, h = cv2.boundingRect((rgba[..., 3] > 127).astype(np.uint8))
    rgba = rgba[y : y + h, x : x + w].copy() if w else rgba[:1, :1].copy()
    # What lies under the transparent part would else shine through at the edges of a resized or moved cut-out.
    opacity = cv2.merge([rgba[..., 3]] * 3)
    rgba[..., :3] = cv2.multiply(np.ascontiguousarray(rgba[..., :3]), opacity, scale=1 / 255)
    return rgba


def shrunk(image: np.ndarray, scale: float) -> np.ndarray:
    """An image [H, W, C] at a smaller scale; as it is where the scale is not below 1."""
    if scale < 1:
        size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)


def find_cutouts(folder: Path) -> list[tuple[Path, Path | None]]:
    """Cut-outs of a folder: `rgba/*.png`, or `images/` with `masks/<image>.png` or `masks/<image>_<...>.png`.

    Raises:
        ImageError: a mask has no image.
    """
    found: list[tuple[Path, Path | None]] = [(path, None) for path in sorted((folder / "rgba").glob("*.png"))]
    images = {path.stem: path for path in sorted((folder / "images").glob("*")) if path.is_file()}
    for mask in sorted((folder / "masks").glob("*.png")):
        # The longest of a_b_c, a_b and a.
        beginnings = [*accumulate(mask.stem.split("_"), "{}_{}".format)]
        image = next((images[name] for name in reversed(beginnings) if name in images), None)
        if image is None:
            raise ImageError(
                f"{mask} has no image: wanted {folder / 'images'}/{mask.stem}.jpg or a name it begins with"
            )
        found.append((image, mask))
    return found


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


def usable_cutouts(entries: Iterable[Entry]) -> list[Entry]:
    """Those of the cut-outs whose looks are all `usable`; every file is read once."""
    return [entry for entry in entries if all(map(usable, _read_cutouts(entry)))]


def moving_cutouts(videos: Iterable[Path]) -> list[Entry]:
    """The usable cut-outs of videos with masks (`img/` and `masks/` with the same names), a cut-out a video.

    Frames where the mask is not `usable`, as where the object is hidden, are passed over; a video with fewer than eight
    others is left out.
    """
    found = []
    for video in videos:
        masks = sorted((video / "masks").glob("*.png"))
        images = {path.stem: path for path in (video / "img").glob("*")}
        frames = [(images[mask.stem], mask) for mask in masks if mask.stem in images]
        entry: Entry = tuple(frame for frame in frames if usable(_read_cutouts((frame,))[0]))
        if len(entry) >= _FEWEST_LOOKS:
            _read_cutouts(entry)
            found.append(entry)
    return found
