"""Folders of your own: sequences with a box file, for training and evaluation, and images with a table of boxes."""

from __future__ import annotations

import csv
import io
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ltr.admin.inputs import read_text
from ltr.data.image import VIDEO_SUFFIXES, read_image
from ltr.dataset.base import SequenceInfo
from ltr.dataset.boxfile import parse_numbers, positive
from ltr.dataset.index import IndexedVideos, open_index, read_index, read_split
from ltr.dataset.layout import SequenceFiles, find_images, list_images, read_annotation
from ltr.errors import AnnotationError, MissingFileError, unknown_name

ANNOTATION = "groundtruth_rect.txt"
_ANNOTATIONS = (ANNOTATION, "groundtruth.txt")
_LAYOUT = f"[<group>/]<sequence>/img/*.jpg and {ANNOTATION} beside img, or [<group>/]<name>.mp4 and <name>.txt"
_VALIDATION_SHARE = 10


def list_folder(root: Path, strays: bool = False) -> list[SequenceFiles]:
    """The sequences below a folder, in alphabetical order, named '<sequence>' or '<group>_<sequence>'.

    A sequence has `groundtruth_rect.txt` or `groundtruth.txt`, and its frames in `img/`, beside the file, or as one
    video file beside it. A video `<name>.mp4` with `<name>.txt` is a sequence too.

    Args:
        strays: also folders that have `img/` and no annotation, for a check.

    Raises:
        MissingFileError: no such folder.
        AnnotationError: no sequence in it, or two of the same name.
    """
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder of sequences")
    found: dict[str, SequenceFiles] = {}
    for place, frames, annotation, problem in sorted(_places(root, strays)):
        name = "_".join(place.relative_to(root).parts)
        if name in found:
            raise AnnotationError(f"{root}: two sequences are named '{name}'; rename one of the folders")
        found[name] = SequenceFiles(name, "folder", root, (frames,), annotation, numbered=False, problem=problem)
    if not found:
        raise AnnotationError(f"{root} has no sequences: wanted {_LAYOUT}")
    return list(found.values())


def _places(root: Path, strays: bool) -> Iterator[tuple[Path, Path, Path, str]]:
    """(the sequence's folder, or its video without the suffix; frames or video; annotation; what is wrong)."""
    for depth in ("*", "*/*"):
        for entry in root.glob(depth):
            if entry.is_dir():
                # A pipe or a folder of this name is listed, and refused when it is read.
                annotation = next((entry / name for name in _ANNOTATIONS if os.path.lexists(entry / name)), None)
                if annotation is not None:
                    yield entry, *_frames_beside(annotation)
                elif strays and (entry / "img").is_dir():
                    yield entry, entry / "img", entry / ANNOTATION, ""
            elif entry.suffix.lower() in VIDEO_SUFFIXES and os.path.lexists(entry.with_suffix(".txt")):
                yield entry.with_suffix(""), entry, entry.with_suffix(".txt"), ""


def _frames_beside(annotation: Path) -> tuple[Path, Path, str]:
    folder = annotation.parent
    if (folder / "img").is_dir():
        return folder / "img", annotation, ""
    if find_images(folder):
        return folder, annotation, ""
    videos = sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    if len(videos) > 1:
        names = " or ".join(video.name for video in videos)
        return folder / "img", annotation, f"{annotation}: belongs to which video, {names}?"
    return videos[0] if videos else folder / "img", annotation, ""


def in_split(name: str, split: str) -> bool:
    """Whether a file or sequence belongs to a split; one in ten is validation, by a checksum of its name."""
    held_out = zlib.crc32(os.fsencode(name)) % _VALIDATION_SHARE == 0
    return held_out == (split == "val")


def folder_split(root: Path, split: str) -> list[str]:
    """The sequences of a split of a folder: 'all', 'train' and 'val' (nine and one in ten, by a checksum of the name),
    or the path of a text file of names.

    Raises:
        UserError: another split.
        MissingFileError, AnnotationError: no such folder, no sequence in it or in the split, or a list that cannot be
            read.
    """
    if split.endswith(".txt"):
        return read_split("folder", split, {})
    if split not in ("all", "train", "val"):
        raise unknown_name("split of folder", split, ("all", "train", "val", "<list>.txt"))
    names = [files.name for files in _with_images(root)]
    chosen = [name for name in names if split == "all" or in_split(name, split)]
    if not chosen:
        raise AnnotationError(
            f"{root}: none of the {len(names)} sequences is in split '{split}' of data set 'folder', which takes "
            f"{'one' if split == 'val' else 'nine'} in ten by a checksum of the name; name the sequences of each split "
            "in a text file, as in split = '/data/val.txt'"
        )
    return chosen


def _with_images(root: Path) -> list[SequenceFiles]:
    """The sequences whose frames are images: drawing single frames from a video file would decode it from its start."""
    return [files for files in list_folder(root) if not files.folders[0].is_file()]


class FolderSequences(IndexedVideos):
    """The sequences of a folder whose frames are images, as `list_folder` finds them, with one box a frame.

    Boxes count pixels from 0, unlike OTB's own files of the name groundtruth_rect.txt.

    Args:
        root: the folder of sequences.
        names: sequences to use, all by default.
        smallest: a target whose shorter side is not above this, in pixels, counts as not visible.

    Raises:
        MissingFileError: no such folder.
        AnnotationError: no sequence, an unknown name, a bad annotation, or another number of boxes than frames.
    """

    def __init__(
        self, root: Path, names: Sequence[str] | None = None, name: str = "folder", smallest: float = 4.0
    ) -> None:
        self.name = name
        self.root = root
        found = {files.name: files for files in _with_images(root)}
        chosen = list(found) if names is None else list(names)
        for sequence in chosen:
            if sequence not in found:
                raise AnnotationError(f"{root}: {unknown_name('sequence', sequence, found)}")
        self._files = [found[sequence] for sequence in chosen]
        # Several choices from one folder have an index each.
        label = name if names is None else f"{name}-{zlib.crc32(chr(10).join(chosen).encode()):08x}"
        self.index = open_index(
            label,
            root,
            [files.annotation for files in self._files],
            f"visible: sides above {smallest:g} px",
            lambda: read_index(chosen, lambda k: _read_sequence(self._files[k], smallest), name),
        )

    def frame_files(self, index: int, frame_ids: Sequence[int]) -> tuple[list[Path], Path]:
        """The files of frames, and that of the sequence's first.

        Raises:
            AnnotationError: frames came or went since the index was made.
        """
        folder = self._files[index].folders[0]
        images, count = list_frames(folder), len(self.index.info(index).boxes)
        if len(images) != count:
            raise AnnotationError(f"{folder}: {len(images)} images but {count} boxes")
        return [images[frame] for frame in frame_ids], images[0]


def _read_sequence(files: SequenceFiles, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    boxes = read_annotation(files).boxes.astype(np.float32)
    images = list_frames(files.folders[0])
    if len(images) != len(boxes):
        raise AnnotationError(f"{files.folders[0]}: {len(images)} images but {len(boxes)} boxes")
    return boxes, positive(boxes, smallest)


@lru_cache(maxsize=512)
def list_frames(folder: Path) -> tuple[Path, ...]:
    """`list_images`, remembered: training draws from the same folder again and again."""
    return tuple(list_images(folder))


class ImageBoxes:
    """`<root>/images/` with `<root>/boxes.csv` (columns image, x, y, w, h): every box a sequence of one frame.

    Args:
        smallest: boxes with a shorter side, in pixels, are left out.
        keep: file names of the images to use; all by default.

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
    reader = csv.DictReader(io.StringIO(read_text(path, error=AnnotationError)))
    try:
        missing = {"image", "x", "y", "w", "h"} - set(reader.fieldnames or ())
        if missing:
            raise AnnotationError(f"{path} lacks the columns {sorted(missing)}; wanted image, x, y, w, h")
        for row in reader:
            cells = [row[key] or "" for key in ("x", "y", "w", "h")]
            try:
                x, y, w, h = parse_numbers(path, reader.line_num, ",".join(cells), (4,))
            except AnnotationError:
                x = y = w = h = math.nan
            if not row["image"] or not all(math.isfinite(value) for value in (x, y, w, h)):
                raise AnnotationError(
                    f"{path}, line {reader.line_num}: wanted an image and four numbers x, y, w, h, found "
                    f"{[row['image'], *cells]}"
                )
            rows.append((row["image"], (x, y, w, h)))
    except csv.Error as error:
        raise AnnotationError(f"{path}, line {reader.line_num}: not a table: {error}") from None
    return rows
