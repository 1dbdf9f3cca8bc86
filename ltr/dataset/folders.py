"""Training data in plain folders: sequences with a box file, and images with a table of boxes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ltr.data.image import read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.boxfile import AnnotationError, positive, read_boxes

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


class FolderSequences:
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
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder of sequences")
        found = sorted(path.parent.name for path in root.glob("*/groundtruth_rect.txt"))
        if not found:
            raise AnnotationError(
                f"{root} has no sequences: wanted <sequence>/groundtruth_rect.txt with <sequence>/img/"
            )
        self.names = found if names is None else list(names)
        self._frames = []
        self._infos = []
        for sequence in self.names:
            images = _in_order(p for p in (root / sequence / "img").glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            boxes = read_boxes(root / sequence / "groundtruth_rect.txt").astype(np.float32)
            if len(images) != len(boxes):
                raise AnnotationError(f"{root / sequence}: {len(images)} images but {len(boxes)} boxes")
            self._frames.append(images)
            valid = positive(boxes)
            self._infos.append(SequenceInfo(boxes, valid, positive(boxes, smallest)))

    def __len__(self) -> int:
        return len(self.names)

    def sequence_name(self, index: int) -> str:
        """Name of a sequence: its folder's."""
        return self.names[index]

    def sequence_info(self, index: int) -> SequenceInfo:
        """Annotation of a sequence."""
        return self._infos[index]

    def frames(self, index: int, frame_ids: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 RGB [H, W, 3]."""
        return [read_image(self._frames[index][frame]) for frame in frame_ids]


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
