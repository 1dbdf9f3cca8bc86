"""A small COCO-format data set from images with boxes in a CSV, and detections made from its annotations."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.detection.coco_files import Detections, Instances, read_instances, write_results
from ltr.admin.files import whole_file, write_json, write_text
from ltr.data.image import read_image
from ltr.errors import AnnotationError, unknown_name
from ltr.ops.boxes import from_relative, to_relative

# COCO's 80 classes in order with their ids; ten of the 90 ids are not in use.
CATEGORY_IDS: dict[str, int] = json.loads((Path(__file__).parent / "coco_categories.json").read_text(encoding="utf-8"))
CLASSES = tuple(CATEGORY_IDS)
SPLITS = ("train", "tune", "val")
# Parts of the images in them, drawn by a seed of their own.
_PARTS, _SPLIT_SEED = (0.625, 0.125, 0.25), 0


@dataclass(frozen=True)
class JitterSettings:
    """How detections are made from annotations: no detector has seen the images.

    Attributes:
        centre, size: Standard deviations of a detection around its annotation, in parts of the box and of the log size.
        missed: Part of the annotations without a detection.
        false_positives: Number of detections without an annotation over the number of annotations.
        seed: Seed for all random choices.
    """

    centre: float = 0.08
    size: float = 0.12
    missed: float = 0.1
    false_positives: float = 0.3
    seed: int = 0


def make_small(source: Path, folder: Path, jitter: JitterSettings) -> dict[str, int]:
    """Write `images/`, `instances_<split>.json` and `detections_<split>.json`, for splits train, tune and val.

    Args:
        source: has `images/` and `boxes.csv` (image, x, y, w, h, category); a category is a COCO class's name or its
            number from 0 to 79.
        folder: folder of the data set; files that are there are replaced.

    Returns:
        Number of images in each split.

    Raises:
        AnnotationError: a missing column, an unknown category, a box that is none; file and line are named.
    """
    rows = _read_rows(source / "boxes.csv")
    names = sorted(rows)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(names))
    ends = np.round(np.cumsum(_PARTS) * len(names)).astype(int)
    counts = {}
    for split, chosen in zip(SPLITS, np.split(order, ends[:-1])):
        kept = sorted(chosen.tolist())
        _write_split(source, folder, split, {k + 1: names[k] for k in kept}, rows)
        counts[split] = len(kept)
        if split != "train":
            instances = read_instances(folder / f"instances_{split}.json", folder / "images")
            write_jittered(instances, folder / f"detections_{split}.json", jitter)
    note = {"source": str(source.name), "split_seed": _SPLIT_SEED, "images": counts, "jitter": asdict(jitter)}
    write_json(folder / "made.json", note)
    return counts


def _read_rows(path: Path) -> dict[str, list[tuple[list[float], str]]]:
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise AnnotationError(f"cannot read {path}: {error.strerror}") from error
    found: dict[str, list[tuple[list[float], str]]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            box = [float(line[key]) for key in ("x", "y", "w", "h")]
            if not (np.isfinite(box).all() and min(box[2:]) > 0):
                raise ValueError(f"box {box}")
            found.setdefault(line["image"], []).append((box, _class_name(line["category"])))
        except (KeyError, TypeError, ValueError) as error:
            raise AnnotationError(f"{path}, line {number}: {error}") from error
    if not found:
        raise AnnotationError(f"{path} has no boxes")
    return found


def _class_name(text: str) -> str:
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) < len(CLASSES):
        return CLASSES[int(text)]
    if text not in CATEGORY_IDS:
        raise unknown_name("COCO class", text, CLASSES)
    return text


def _write_split(
    source: Path, folder: Path, split: str, names: dict[int, str], rows: dict[str, list[tuple[list[float], str]]]
) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for identity, name in names.items():
        height, width = read_image(source / "images" / name).shape[:2]
        images.append({"id": identity, "file_name": name, "width": width, "height": height})
        with whole_file(folder / "images" / name) as temporary:
            shutil.copyfile(source / "images" / name, temporary)
        for box, category in rows[name]:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": identity,
                    "category_id": CATEGORY_IDS[category],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": identity, "name": name} for name, identity in CATEGORY_IDS.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_text(folder / f"instances_{split}.json", json.dumps(content) + "\n")


def write_jittered(instances: Instances, path: Path, settings: JitterSettings) -> None:
    """Write detections made from annotations: some missed, the others moved, with false ones among them.

    A score is uniform in 0.5 .. 1 for what stands for an object, in 0.05 .. 0.7 for a false one; it says nothing about
    how well the box fits. A false one has a random annotated size and a class of its image.
    """
    generator = torch.Generator().manual_seed(settings.seed)

    def uniform(count: int, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    sizes = torch.cat([image.boxes[:, 2:] for image in instances.images])
    sigma = torch.tensor([settings.centre] * 2 + [settings.size] * 2)
    found = []
    for image in instances.images:
        count = len(image.boxes)
        seen = torch.rand(count, generator=generator) >= settings.missed
        unit = image.boxes[:, 2:]
        moved = to_relative(image.boxes, unit) + sigma * torch.randn((count, 4), generator=generator)
        false = int(torch.poisson(torch.tensor(settings.false_positives * count), generator=generator)) if count else 0
        height, width = read_image(image.path).shape[:2]
        extent = sizes[torch.randint(len(sizes), (false,), generator=generator)]
        room = (torch.tensor([width, height]) - extent).clamp(min=0)
        boxes = torch.cat((torch.rand((false, 2), generator=generator) * room, extent), dim=1)
        kinds = image.classes[torch.randint(max(count, 1), (false,), generator=generator)]
        boxes = torch.cat((from_relative(moved, unit)[seen], boxes))
        scores = torch.cat((uniform(int(seen.sum()), 0.5, 1.0), uniform(false, 0.05, 0.7)))
        found.append((image.identity, Detections(boxes, scores, torch.cat((image.classes[seen], kinds)))))
    write_results(path, found)
