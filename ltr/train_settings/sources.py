"""The training data sets that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ltr.admin.paths import dataset_path
from ltr.dataset.base import TrainingDataset
from ltr.dataset.coco import Coco, CocoFormat, MaskCutouts, coco_format_files, read_objects
from ltr.dataset.composited import CompositedVideo
from ltr.dataset.folders import FolderSequences, folder_split
from ltr.dataset.got10k import Got10k
from ltr.dataset.index import split_label
from ltr.dataset.lasot import Lasot
from ltr.dataset.lite import build_lite_datasets
from ltr.dataset.tracking_net import TrackingNet
from ltr.errors import MissingFileError, UserError, check_names
from ltr.train_settings.recipe import DataSource

Weighted = tuple[TrainingDataset, float]

_COMPOSITED_VIDEOS = 1_000_000


def _official(reader: Callable[[Path, str], TrainingDataset]) -> Callable[[DataSource, int], list[Weighted]]:
    return lambda source, seed: [(reader(dataset_path(source.name), source.split), source.weight)]


def _coco_format(source: DataSource, seed: int) -> list[Weighted]:
    path, folder = coco_format_files(dataset_path("coco_format"), source.split)
    return [(CocoFormat(path, folder, f"coco_format_{path.stem}"), source.weight)]


def _composited(source: DataSource, seed: int) -> list[Weighted]:
    path, folder = coco_format_files(dataset_path("coco_format"), source.split)
    objects = read_objects(path)
    cutouts = MaskCutouts(objects, folder)
    backgrounds = sorted({folder / item.image for item in objects})
    return [(CompositedVideo(cutouts, backgrounds, _COMPOSITED_VIDEOS, seed=seed), source.weight)]


def _folder(source: DataSource, seed: int) -> list[Weighted]:
    root = dataset_path("folder")
    names = folder_split(root, source.split)
    return [(FolderSequences(root, names, f"folder_{split_label(source.split)}"), source.weight)]


def _lite(source: DataSource, seed: int) -> list[Weighted]:
    found = build_lite_datasets(dataset_path("lite"), source.split, seed)
    total = sum(weight for _, weight in found)
    return [(dataset, source.weight * weight / total) for dataset, weight in found]


SOURCES: dict[str, Callable[[DataSource, int], list[Weighted]]] = {
    "lasot": _official(Lasot),
    "trackingnet": _official(TrackingNet),
    "got10k": _official(Got10k),
    "coco": _official(Coco),
    "coco_format": _coco_format,
    "composited": _composited,
    "folder": _folder,
    "lite": _lite,
}


def open_sources(sources: tuple[DataSource, ...], seed: int) -> list[Weighted]:
    """Open data sets, with their sampling weights. Errors as for `open_groups`."""
    return open_groups((sources,), seed)[0]


def open_groups(groups: Sequence[tuple[DataSource, ...]], seed: int) -> list[list[Weighted]]:
    """Open several groups of data sets together, such as those of training and of validation.

    Raises:
        ValueError: for a data set that is not in `SOURCES`, or one whose split has no sequence.
        FileNotFoundError: for folders that are not there or not configured; all of them are named.
        AnnotationError: for an annotation that cannot be read, or a copy that lacks sequences.
    """
    opened: dict[DataSource, list[Weighted]] = {}
    missing: dict[str, None] = {}
    for source in (source for sources in groups for source in sources):
        check_names("training data set", [source.name], SOURCES)
        try:
            opened[source] = SOURCES[source.name](source, seed)
        except MissingFileError as error:
            missing[str(error)] = None
            continue
        if not any(len(dataset) for dataset, _ in opened[source]):
            raise UserError(
                f"data set '{source.name}' has no sequence in its split '{source.split}': add sequences, or name "
                "another split in the recipe"
            )
    if missing:
        raise MissingFileError("; ".join(missing))
    return [[dataset for source in sources for dataset in opened[source]] for sources in groups]
