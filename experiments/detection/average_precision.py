"""Average precision by COCO's own code, and the mean overlap of detections with what they show."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from experiments.detection.coco_files import Detections, Instances
from ltr.errors import UserError
from ltr.ops.boxes import iou

FIGURES = ("AP", "AP50", "AP75")


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
    rows = json.loads(results.read_text(encoding="utf-8"))
    if not rows:
        return dict.fromkeys(FIGURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        unknown = {row["image_id"] for row in rows} - set(truth.getImgIds())
        if unknown:
            raise UserError(f"{results} has detections in images that {annotations} lacks, such as {min(unknown)}")
        judged = COCOeval(truth, truth.loadRes(rows), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return {name: float(value) for name, value in zip(FIGURES, judged.stats)}


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
