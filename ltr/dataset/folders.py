"""Training data in plain folders: sequences with a box file, and images with a table of boxes."""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.boxfile import positive, read_boxes
from ltr.dataset.index import IndexedSequences, open_index, read_index
from ltr.errors import AnnotationError, MissingFileError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


class FolderSequences(IndexedSequences):
    """`<root>/<sequence>/img/*.jpg` with `groundtruth_rect.txt`, one box a frame in the order of the frames' numbers.

    Boxes count pixels from 0, unlike OTB's own files of this name. Frames whose names are no numbers come by name.

    Args:
        root: the folder of sequences.
        names: sequences to use, all by default.
        smallest: a target whose shorter side is not above this, in pixels, counts as not visible.

    Raises:
        FileNotFoundError: no such folder.
        AnnotationError: no sequence, a bad annotation, or another number of boxes than frames.
    """

    is_video = True

    def __init__(
        self, root: Path, names: Sequence[str] | None = None, name: str = "folder", smallest: float = 4.0
    ) -> None:
        self.name = name
        self.root = root
        found = sequence_names(root)
        chosen = found if names is None else list(names)
        # Several choices from one folder have an index each.
        label = name if names is None else f"{name}-{zlib.crc32(chr(10).join(chosen).encode()):08x}"
        self.index = open_index(
            label,
            root,
            [root / sequence / "groundtruth_rect.txt" for sequence in chosen],
            f"visible: sides above {smallest:g} px",
            lambda: read_index(chosen, lambda k: _read_sequence(root / chosen[k], smallest), name),
        )

    def frame_files(self, index: int, frame_ids: Sequence[int]) -> tuple[list[Path], Path]:
        """The files of frames, and that of the sequence's first.

        Raises:
            AnnotationError: frames came or went since the index was made.
        """
        folder = self.root / self.index.name(index)
        images, count = list_frames(folder), len(self.index.info(index).boxes)
        if len(images) != count:
            raise AnnotationError(f"{folder}: {len(images)} images but {count} boxes")
        return [images[frame] for frame in frame_ids], images[0]

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 RGB [H, W, 3]. Errors as for `frame_files`."""
        files, first = self.frame_files(index, frame_ids)
        return [read_image(file, first) for file in files]


def sequence_names(root: Path) -> list[str]:
    """The folders below `root` that have a box file, by name.

    Raises:
        FileNotFoundError: no such folder.
        AnnotationError: there is none.
    """
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder of sequences")
    found = sorted(path.parent.name for path in root.glob("*/groundtruth_rect.txt"))
    if not found:
        raise AnnotationError(f"{root} has no sequences: wanted <sequence>/groundtruth_rect.txt with <sequence>/img/")
    return found


def _read_sequence(folder: Path, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    boxes = read_boxes(folder / "groundtruth_rect.txt").astype(np.float32)
    images = list_frames(folder)
    if len(images) != len(boxes):
        raise AnnotationError(f"{folder}: {len(images)} images but {len(boxes)} boxes")
    return boxes, positive(boxes, smallest)


@lru_cache(maxsize=512)
def list_frames(folder: Path) -> tuple[Path, ...]:
    """The images in `folder/img`, in the order of their numbers."""
    return tuple(_in_order(p for p in (folder / "img").glob("*") if p.suffix.lower() in IMAGE_SUFFIXES))


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """Frames by number, so that 10.jpg follows 9.jpg; by name where a name is no number."""
    found = sorted(paths)
    return sorted(found, key=lambda path: int(path.stem)) if all(p.stem.isdecimal() for p in found) else found


class ImageBoxes:
    """`<root>/images/` with `<root>/boxes.csv` (columns image, x, y, w, h): every box a sequence of one frame.

    Args:
        root: the folder.
        smallest: boxes with a shorter side, in pixels, are left out.
        keep: which images to use, by file name; all by default.

    Raises:
        AnnotationError: no table, a missing column, a row without four finite numbers (file and line are named), or
            images that are not there.
    """

    is_video = False

    def __init__(self, root: Path, name: str, smallest: float = 16.0, keep: frozenset[str] | None = None) -> None:
        self.name = name
        self.root = root
        rows = _read_table(root / "boxes.csv")
        missing = {image for image, _ in rows} - {path.name for path in (root / "images").glob("*")}
        if missing:
            raise AnnotationError(
                f"{root / 'boxes.csv'} names {len(missing)} images that are not in {root / 'images'}, such as "
                f"{min(missing)}"
            )
        self._rows = [
            (image, box) for image, box in rows if min(box[2:]) >= smallest and (keep is None or image in keep)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def sequence_name(self, index: int) -> str:
        """Image and number of the box in the table."""
        return f"{self._rows[index][0]}#{index}"

    def sequence_info(self, index: int) -> SequenceInfo:
        """The box, as a sequence of one frame."""
        boxes = np.array([self._rows[index][1]], dtype=np.float32)
        return SequenceInfo(boxes, np.ones(1, dtype=bool), np.ones(1, dtype=bool))

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """The image, once a frame asked for."""
        image = read_image(self.root / "images" / self._rows[index][0])
        return [image] * len(frame_ids)


def _read_table(path: Path) -> list[tuple[str, tuple[float, float, float, float]]]:
    rows = []
    try:
        with open(path, newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            missing = {"image", "x", "y", "w", "h"} - set(reader.fieldnames or ())
            if missing:
                raise AnnotationError(f"{path} lacks the columns {sorted(missing)}; wanted image, x, y, w, h")
            for row in reader:
                try:
                    box = (float(row["x"]), float(row["y"]), float(row["w"]), float(row["h"]))
                except (ValueError, TypeError):
                    box = (math.nan,) * 4
                if not row["image"] or not all(math.isfinite(value) for value in box):
                    raise AnnotationError(
                        f"{path}, line {reader.line_num}: wanted an image and four numbers x, y, w, h, found "
                        f"{[row[key] for key in ('image', 'x', 'y', 'w', 'h')]}"
                    )
                rows.append((row["image"], box))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"cannot read {path}: {error}") from error
    return rows
