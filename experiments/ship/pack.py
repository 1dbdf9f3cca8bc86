"""Pack a `lite` data folder into one archive of limited size: smaller pictures, the same layout, boxes to match.

    python -m experiments.ship.pack /data/lite .cache/gpu/data.tar --megabytes 60

Sides and qualities are tried from large to small until the archive fits. Masks become black and white.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.common import command_line
from ltr.data.image import IMAGE_SUFFIXES, read_image, read_mask, read_rgba
from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError, exit_status

# Longest side of a picture in pixels, and JPEG quality. Crops are 256 pixels wide, so less is lost than it looks.
STEPS = ((480, 85), (480, 75), (400, 75), (360, 70), (320, 65), (280, 60), (240, 55), (200, 45))
_BOXES = "groundtruth_rect.txt"


def pack(root: Path, archive: Path, limit: int, steps: Sequence[tuple[int, int]] = STEPS) -> tuple[int, int]:
    """Write `archive`, a tar of at most `limit` bytes; returns the (side, quality) that fitted.

    Raises:
        UserError: no files, or not even the smallest fits.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{root} has no files to pack")
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(archive.name + ".part")
    for side, quality in steps:
        if _write(root, files, part, limit, side, quality):
            os.replace(part, archive)
            return side, quality
    part.unlink()
    raise UserError(f"{root} does not fit into {limit / 1e6:.0f} MB; leave folders out")


def _write(root: Path, files: Iterable[Path], part: Path, limit: int, side: int, quality: int) -> bool:
    """Whether the archive stays within the limit; stops where it does not."""
    with tarfile.open(part, "w") as out:
        for path in tqdm(files, desc=f"{side} px, quality {quality}", unit="file", leave=False):
            name, content = _packed(path, side, quality)
            entry = tarfile.TarInfo(str(path.relative_to(root).with_name(name)))
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
            if out.offset > limit - 2 * tarfile.RECORDSIZE:
                return False
    return True


def _packed(path: Path, side: int, quality: int) -> tuple[str, bytes]:
    """The name and content of a file in the archive."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if path.parent.name == "masks":
            mask = np.where(_small(read_mask(path), side) > 127, 255, 0).astype(np.uint8)
            return _coded(f"{path.stem}.png", mask, [cv2.IMWRITE_PNG_BILEVEL, 1])
        if path.parent.name == "rgba":
            return _coded(f"{path.stem}.png", cv2.cvtColor(_small(read_rgba(path), 256), cv2.COLOR_RGBA2BGRA), [])
        image = cv2.cvtColor(_small(read_image(path), side), cv2.COLOR_RGB2BGR)
        return _coded(f"{path.stem}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if path.name == _BOXES:
        frames = sorted((path.parent / "img").glob("*"))
        zoom = _zoom(read_image(frames[0]).shape[:2], side) if frames else np.ones(4)
        rows = read_boxes(path) * zoom
        return path.name, "".join(",".join(f"{value:.3f}" for value in row) + "\n" for row in rows).encode()
    if path.name == "boxes.csv":
        return path.name, _table(path, side)
    return path.name, path.read_bytes()


def _table(path: Path, side: int) -> bytes:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    shapes = {name: read_image(path.parent / "images" / name).shape[:2] for name in table["image"].unique()}
    zooms = np.array([_zoom(shapes[name], side) for name in table["image"]]).reshape(-1, 4)
    box = ["x", "y", "w", "h"]
    table[box] = (table[box].astype(float) * zooms).map("{:.3f}".format)
    table["image"] = [f"{Path(name).stem}.jpg" for name in table["image"]]
    return table.to_csv(index=False, lineterminator="\r\n").encode()


def _size(shape: Sequence[int], side: int) -> tuple[int, int]:
    scale = min(side / max(shape[:2]), 1.0)
    return max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)


def _zoom(shape: Sequence[int], side: int) -> np.ndarray:
    """What the sides of a box [4] (x, y, w, h) are multiplied by."""
    width, height = _size(shape, side)
    return np.tile((width / shape[1], height / shape[0]), 2)


def _small(image: np.ndarray, side: int) -> np.ndarray:
    size = _size(image.shape, side)
    return image if size == image.shape[1::-1] else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _coded(name: str, image: np.ndarray, options: list[int]) -> tuple[str, bytes]:
    return name, cv2.imencode(Path(name).suffix, image, options)[1].tobytes()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = command_line("ship.pack", __doc__)
    parser.add_argument("root", type=Path, help="the data folder (docs/data.md, 'lite')")
    parser.add_argument("archive", type=Path, help="the tar file to write")
    parser.add_argument("--megabytes", type=float, default=60, help="largest size of the archive (%(default)s)")
    options = parser.parse_args(arguments)
    side, quality = pack(options.root, options.archive, int(options.megabytes * 1e6))
    print(f"{options.archive}: {options.archive.stat().st_size / 1e6:.1f} MB, {side} px, quality {quality}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
