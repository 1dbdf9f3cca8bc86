"""Results and annotations in VOT's and pysot's layouts: regions, initialisations and failures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.inputs import number_array, read_object
from ltr.dataset.boxfile import parse_numbers, read_flags, read_lines, read_polygons
from ltr.errors import AnnotationError, UserError, printable
from pytracking.analysis.metrics import corners

_TAGS = ("camera_motion", "illum_change", "motion_change", "size_change", "occlusion")
_SKIPPED, _INITIALISED, _FAILED = 0, 1, 2


@dataclass(frozen=True)
class Annotation:
    """One sequence's annotated regions.

    Attributes:
        regions: [T, 4, 2] corners (x, y) in pixels.
        tags: attribute -> [T] bool, the frames that have it; 'empty' for those that have none.
    """

    regions: np.ndarray
    tags: dict[str, np.ndarray]


@dataclass(frozen=True)
class Trajectory:
    """One repetition of a supervised run on one sequence.

    Attributes:
        regions: [T, 4, 2] corners (x, y) in pixels; NaN where the tracker was initialised, failed or skipped.
        starts: frames of initialisation, from 0.
        failures: frames of failure.
    """

    regions: np.ndarray
    starts: list[int]
    failures: list[int]


def read_vot_annotations(path: Path, unreadable: dict[str, str] | None = None) -> dict[str, Annotation]:
    """Sequence -> annotation, from pysot's VOT2018.json or a folder of `<sequence>/groundtruth.txt` and `<tag>.tag`.

    Args:
        path: the file or folder.
        unreadable: dictionary to which sequences that cannot be read are added, with what is wrong; such a sequence
            is an error where it is left out.

    Raises:
        UserError: nothing of the kind, or no sequence that can be read.
    """
    if path.is_dir():
        files = sorted(path.glob("*/groundtruth.txt"))
        if not files:
            raise UserError(f"{path}: no <sequence>/groundtruth.txt in it")
        entries = {file.parent.name: partial(_read_folder, file) for file in files}
    else:
        content = read_object(path)
        if not content:
            raise UserError(f"{path}: expected an object of sequences, as pysot's VOT2018.json")
        entries = {name: partial(_read_entry, path, name, entry) for name, entry in content.items()}
    annotations, wrong = {}, {} if unreadable is None else unreadable
    for name, read in entries.items():
        try:
            annotations[name] = read()
        except UserError as error:
            wrong[name] = str(error)
    if wrong and (unreadable is None or not annotations):
        raise AnnotationError(next(iter(wrong.values())))
    return annotations


def read_trajectories(folder: Path, annotations: dict[str, Annotation]) -> dict[str, list[Trajectory]]:
    """Sequence -> repetitions, from `<folder>/[baseline/]<sequence>/<sequence>_<repetition, 3 digits>.txt`.

    Raises:
        UserError: a sequence without a result, or a file that is damaged or has another length than the annotation.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of results")
    root = folder / "baseline" if (folder / "baseline").is_dir() else folder
    trajectories = {}
    for name, annotation in annotations.items():
        files = sorted(root.glob(f"{name}/{name}_[0-9][0-9][0-9].txt"))
        if not files:
            raise UserError(f"{root / name / name}_001.txt: no result on '{name}'")
        trajectories[name] = [read_trajectory(file, len(annotation.regions)) for file in files]
    return trajectories


def read_trajectory(path: Path, frames: int) -> Trajectory:
    """A result file: a line a frame, 1 (initialised), 2 (failed), 0 (skipped), or a region of 4 or 8 numbers.

    Raises:
        UserError: another number of lines than `frames`, a line that is none of these, or no initialisation at first.
    """
    lines = read_lines(path)
    if len(lines) != frames:
        raise UserError(f"{path}: {len(lines)} lines for {frames} frames")
    regions = np.full((frames, 4, 2), np.nan)
    codes = np.full(frames, -1)
    for frame, line in enumerate(lines):
        try:
            numbers = np.array(parse_numbers(path, frame + 1, line, (1, 4, 8)))
        except AnnotationError:
            numbers = np.zeros(0)
        if len(numbers) in (4, 8) and np.isfinite(numbers).all():
            regions[frame] = corners(numbers)
        elif len(numbers) == 1 and numbers[0] in (_SKIPPED, _INITIALISED, _FAILED):
            codes[frame] = int(numbers[0])
        else:
            raise UserError(
                f"{path}, line {frame + 1}: neither 0, 1, 2 nor a region of 4 or 8 numbers: '{printable(line[:60])}'"
            )
    if codes[0] != _INITIALISED:
        raise UserError(f"{path}, line 1: expected 1 (initialised); is it an unsupervised result?")
    starts, failures = (np.flatnonzero(codes == code).tolist() for code in (_INITIALISED, _FAILED))
    return Trajectory(regions, starts, failures)


def _read_entry(path: Path, name: str, entry: Any) -> Annotation:
    try:
        regions = np.stack([corners(number_array(region, finite=False)) for region in entry["gt_rect"]])
        tags = {tag: number_array(entry[tag]) != 0 for tag in _TAGS if entry.get(tag)}
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}: sequence '{name}' has no regions of 4 or 8 numbers under 'gt_rect', or tags of others"
        ) from None
    return Annotation(regions, _with_empty(tags, len(regions), f"{path}: sequence '{name}'"))


def _read_folder(file: Path) -> Annotation:
    boxes, polygons = read_polygons(file)
    regions = polygons if polygons is not None else np.stack([corners(box) for box in boxes])
    tags = {path.stem: read_flags(path) > 0 for path in sorted(file.parent.glob("*.tag"))}
    return Annotation(regions, _with_empty(tags, len(regions), str(file)))


def _with_empty(tags: dict[str, np.ndarray], frames: int, where: str) -> dict[str, np.ndarray]:
    for tag, values in tags.items():
        if values.shape != (frames,):
            raise UserError(f"{where}: {len(values)} values of '{tag}' for {frames} frames")
    if not tags:
        return {}
    return {**tags, "empty": ~np.any(list(tags.values()), axis=0)}
