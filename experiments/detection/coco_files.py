"""COCO's annotations and results of detection as files, average precision by COCO's own code, and mean overlap."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ltr.admin.files import write_text
from ltr.admin.inputs import number_array, read_json
from ltr.dataset.coco import CocoObject, objects_of
from ltr.errors import AnnotationError, UserError
from ltr.ops.boxes import iou

METRICS = ("AP", "AP50", "AP75")
_SMALLEST = 1.0


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its annotated boxes that are no crowds.

    Attributes:
        identity: Image id of COCO.
        path: File of the image.
        boxes: [N, 4] (x, y, w, h) in image pixels.
        classes: [N] COCO category ids.
    """

    identity: int
    path: Path
    boxes: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Instances:
    """A COCO annotation file.

    Attributes:
        path: File of the annotations.
        categories: Names by id, in order of the ids.
        images: Images in order of the ids.
    """

    path: Path
    categories: dict[int, str]
    images: list[AnnotatedImage]


def read_instances(path: Path, folder: Path) -> Instances:
    """Images with boxes of a COCO instances file; crowds and boxes of a side of a pixel or less are left out.

    Args:
        path: such as `annotations/instances_train2017.json`.
        folder: folder of the images.

    Raises:
        AnnotationError: missing, not COCO's, or the folder is missing; the annotation is named.
    """
    content = read_json(path, AnnotationError)
    if not folder.is_dir():
        raise AnnotationError(f"{folder} is not a folder: the images of {path} should lie there")
    objects = objects_of(path, content)
    try:
        categories = {int(item["id"]): str(item["name"]) for item in content["categories"]}
        names = {int(item["id"]): str(item["file_name"]) for item in content["images"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"{path} is not a COCO instances file: {error!r}") from error
    of_image: dict[int, list[CocoObject]] = {identity: [] for identity in names}
    for item in objects:
        if not np.isfinite(item.box).all():
            raise AnnotationError(f"{path}: annotation {item.identity}: box {list(item.box)} is not finite")
        if item.category not in categories:
            raise AnnotationError(f"{path}: annotation {item.identity}: no category {item.category} in the file")
        if min(item.box[2:]) > _SMALLEST:
            of_image[int(item.image_id)].append(item)
    images = [
        AnnotatedImage(
            identity,
            folder / names[identity],
            torch.tensor([item.box for item in found], dtype=torch.float32).reshape(-1, 4),
            torch.tensor([item.category for item in found], dtype=torch.long),
        )
        for identity, found in sorted(of_image.items())
    ]
    return Instances(path, dict(sorted(categories.items())), images)


@dataclass(frozen=True)
class Detections:
    """What a detector found in an image.

    Attributes:
        boxes: [N, 4] (x, y, w, h) in image pixels.
        scores: [N].
        classes: [N] COCO category ids.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.boxes)


def read_results(path: Path) -> dict[int, Detections]:
    """Detections of a COCO results file by image id, in the order of the file.

    Raises:
        AnnotationError: missing, not a results file, or a box without a positive width and height; the entry is named.
    """
    content = read_json(path, AnnotationError)
    if not isinstance(content, list):
        raise AnnotationError(f"{path} is not a COCO results file: a list of detections is wanted")
    rows: dict[int, list[tuple[tuple[float, ...], float, int]]] = {}
    for number, item in enumerate(content):
        try:
            x, y, w, h = number_array(item["bbox"]).tolist()
            score = float(item["score"])
            if not (min(w, h) > 0 and math.isfinite(score)):
                raise ValueError(f"box {(x, y, w, h)} with score {score}")
            rows.setdefault(int(item["image_id"]), []).append(((x, y, w, h), score, int(item["category_id"])))
        except (KeyError, TypeError, ValueError) as error:
            raise AnnotationError(f"{path} is not a COCO results file: entry {number}: {error!r}") from error
    return {image: Detections(*map(torch.tensor, zip(*found))) for image, found in rows.items()}


def write_results(path: Path, detections: Iterable[tuple[int, Detections]]) -> None:
    """Write a COCO results file whole; (image id, detections) of every image."""
    rows = [
        {"image_id": image, "category_id": category, "bbox": [round(value, 3) for value in box], "score": score}
        for image, found in detections
        for box, score, category in zip(found.boxes.tolist(), found.scores.tolist(), found.classes.tolist())
    ]
    write_text(path, json.dumps(rows) + "\n")


def average_precision(annotations: Path, results: Path) -> dict[str, float]:
    """AP (mean over IoU 0.5 .. 0.95), AP50 and AP75 in parts of 1, over all classes, sizes and 100 detections an image.

    Args:
        annotations: a COCO instances file.
        results: a COCO results file of its images.

    Raises:
        UserError: pycocotools is not installed, or the results are of other images.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise UserError("average precision needs pycocotools: pip install 'ebm-tracking[coco]'") from error
    rows = read_json(results)
    if not rows:
        return dict.fromkeys(METRICS, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        unknown = {row["image_id"] for row in rows} - set(truth.getImgIds())
        if unknown:
            raise UserError(f"{results} has detections in images that {annotations} lacks, such as {min(unknown)}")
        judged = COCOeval(truth, truth.loadRes(rows), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return {name: float(value) for name, value in zip(METRICS, judged.stats)}


def mean_overlap(
    instances: Instances, starts: Mapping[int, Detections], refined: Mapping[int, Detections], least: float = 0.3
) -> float:
    """Mean IoU of refined boxes with the annotations that their starts showed.

    A detection shows the annotation of its class that its start overlaps most; those whose start overlaps none by
    `least` are left out. NaN where none is left.
    """
    found = []
    for image in instances.images:
        start, after = starts.get(image.identity), refined.get(image.identity)
        if start is None or after is None or not len(image.boxes):
            continue
        overlaps = iou(start.boxes[:, None], image.boxes[None])
        overlaps = overlaps.masked_fill(start.classes[:, None] != image.classes[None], 0.0)
        best, shown = overlaps.max(1)
        found.append(iou(after.boxes, image.boxes[shown])[best >= least])
    return float(torch.cat(found).double().mean()) if found else float("nan")
