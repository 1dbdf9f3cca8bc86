"""Any folder of sequences: frames or a video file, with a file of boxes.

`<root>/[<group>/]<sequence>/` has `groundtruth_rect.txt` or `groundtruth.txt`, and the frames in `img/`, beside the
file, or as one video file beside it. A video `<root>/[<group>/]<name>.mp4` with `<name>.txt` is a sequence too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ltr.data.image import VIDEO_SUFFIXES
from ltr.data.video import video_frames
from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.environment import dataset_root
from pytracking.evaluation.layout import checked_sequence

ANNOTATION = "groundtruth_rect.txt"
_ANNOTATIONS = (ANNOTATION, "groundtruth.txt")
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


def list_sequences(path: Path | None = None) -> dict[str, Callable[[], Sequence]]:
    """The sequences under a folder, in alphabetical order, named '<sequence>' or '<group>_<sequence>'."""
    root = dataset_root("folder", path)
    found: dict[str, Callable[[], Sequence]] = {}
    for place, annotation in sorted(_annotations(root)):
        name = "_".join(place.relative_to(root).parts)
        if name in found:
            raise UserError(f"{root}: two sequences are named '{name}'; rename one of the folders")
        found[name] = partial(_read, name, annotation)
    if not found:
        raise UserError(
            f"{root}: no sequences; expected [<group>/]<sequence>/img/*.jpg and {ANNOTATION} beside img, or "
            "[<group>/]<name>.mp4 and <name>.txt"
        )
    return found


def list_frames(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by the numbers in their names. Raises `UserError` where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of frames")
    if not (frames := _images(folder)):
        raise UserError(f"{folder}: no frames ({', '.join(sorted(_SUFFIXES))})")
    return sorted(frames, key=lambda file: [int(part) if part.isdigit() else part for part in _parts(file.stem)])


def _annotations(root: Path) -> list[tuple[Path, Path]]:
    """(the sequence's folder, or its video without the suffix; its annotation)."""
    found = []
    for depth in ("*", "*/*"):
        for folder in root.glob(f"{depth}/"):
            if folder.is_dir():
                found += [(folder, folder / name) for name in _ANNOTATIONS if (folder / name).is_file()][:1]
        for file in root.glob(depth):
            boxes = file.with_suffix(".txt")
            if file.suffix.lower() in VIDEO_SUFFIXES and boxes.is_file():
                found.append((file.with_suffix(""), boxes))
    return found


def _images(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")]


def _frames_for(annotation: Path) -> list[Path]:
    folder = annotation.parent
    if annotation.name not in _ANNOTATIONS:
        videos = [file for file in _videos(folder) if file.stem == annotation.stem]
    elif (folder / "img").is_dir() or _images(folder):
        return list_frames(folder / "img" if (folder / "img").is_dir() else folder)
    else:
        videos = _videos(folder)
    if not videos:
        raise UserError(f"{folder / 'img'}: no such folder of frames, and neither images nor a video beside it")
    if len(videos) > 1:
        raise UserError(f"{annotation}: belongs to which video, {' or '.join(video.name for video in videos)}?")
    return video_frames(videos[0])


def _videos(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())


def _parts(stem: str) -> list[str]:
    # Text and numbers alternate, starting with text (which may be empty), so that the keys can be compared.
    return re.split(r"(\d+)", stem)


def _read(name: str, annotation: Path) -> Sequence:
    boxes = read_boxes(annotation)
    return checked_sequence(
        name=name,
        frames=_frames_for(annotation),
        dataset="folder",
        ground_truth_rect=boxes,
        annotation_path=annotation,
        target_visible=np.isfinite(boxes).all(axis=1),
    )
