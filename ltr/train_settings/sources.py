"""The training data sets that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable

from ltr.admin.paths import dataset_path
from ltr.dataset.base import TrainingDataset
from ltr.dataset.coco import Coco
from ltr.dataset.got10k import Got10k
from ltr.dataset.lite import build_lite_datasets
from ltr.names import unknown_name
from ltr.train_settings.recipe import DataSource

Weighted = tuple[TrainingDataset, float]


def _got10k(source: DataSource, seed: int) -> list[Weighted]:
    return [(Got10k(dataset_path("got10k"), source.split), source.weight)]


def _coco(source: DataSource, seed: int) -> list[Weighted]:
    return [(Coco(dataset_path("coco"), source.split), source.weight)]


def _lite(source: DataSource, seed: int) -> list[Weighted]:
    found = build_lite_datasets(dataset_path("lite"), source.split, seed)
    total = sum(weight for _, weight in found)
    return [(dataset, source.weight * weight / total) for dataset, weight in found]


SOURCES: dict[str, Callable[[DataSource, int], list[Weighted]]] = {"got10k": _got10k, "coco": _coco, "lite": _lite}


def open_sources(sources: tuple[DataSource, ...], seed: int) -> list[Weighted]:
    """Open the data sets of a recipe, with their sampling weights.

    Raises:
        ValueError: for a data set that is not in `SOURCES`.
        FileNotFoundError: for a folder that is not there or not configured.
    """
    opened: list[Weighted] = []
    for source in sources:
        if source.name not in SOURCES:
            raise ValueError(unknown_name("training data set", source.name, SOURCES))
        opened.extend(SOURCES[source.name](source, seed))
    return opened
