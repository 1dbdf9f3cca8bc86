"""The protocols of the benchmarks' own toolkits, each with its rules and where they are written down."""

from __future__ import annotations

import numpy as np

from pytracking.analysis import metrics
from pytracking.analysis.curves import Protocol, SequenceCurves

_THRESHOLDS = np.arange(21) / 20
_PIXELS = np.arange(51.0)
_NORMALISED = np.arange(51) / 100


def otb_curves(
    predicted: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray | None,
    dataset: str,
    exclude_invalid: bool,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    """OTB's toolbox: the first box is the annotation, a box that is empty, negative or NaN repeats the one before it.

    Args:
        predicted: [P, 4] (x, y, w, h) in pixels; missing ones at the end count as empty, surplus ones are ignored.
        annotated: [T, 4]; a frame is valid where all four are above 0. An invalid one is a miss in success and, as the
            toolbox gives it an error of -1, a hit in precision.
        visible, dataset, image_size: not used.
        exclude_invalid: divide by the valid frames instead of all.
    """
    boxes, note = _fit(predicted, len(annotated))
    boxes = _repeat_unusable(boxes, annotated, len(predicted))
    boxes[0] = annotated[0]
    valid = _positive(annotated)
    return _score(boxes, annotated, valid, valid, _divisor(valid, exclude_invalid), -1.0, note)


def lasot_curves(
    predicted: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray | None,
    dataset: str,
    exclude_invalid: bool,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    """LaSOT's toolkit: as OTB's, on the frames where the target is visible; the divisor stays the full length.

    Arguments as for `otb_curves`, and:

    Args:
        visible: [T] bool; None where every frame counts.
    """
    boxes, note = _fit(predicted, len(annotated))
    boxes = _repeat_unusable(boxes, annotated, len(predicted))
    boxes[0] = annotated[0]
    shown = _shown(visible, len(annotated))
    valid = _positive(annotated)
    divisor = _divisor(valid & shown, exclude_invalid)
    return _score(boxes[shown], annotated[shown], valid[shown], valid[shown], divisor, -1.0, note)


def pysot_curves(
    predicted: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray | None,
    dataset: str,
    exclude_invalid: bool,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    """pysot's toolkit: boxes as they stand, the first included; on LaSOT absent frames are removed.

    Args:
        predicted: [P, 4] (x, y, w, h) in pixels; missing ones at the end count as empty, surplus ones are ignored.
        annotated: [T, 4]; a frame is valid for overlaps where width and height are above 0, for centre errors where
            the centre is. An invalid one is a miss in all curves and stays in the divisor, as a removed one does.
        visible: [T] bool; used for LaSOT only.
        dataset: name of the data set.
        exclude_invalid: divide by the valid frames instead of all.
        image_size: not used.
    """
    boxes, note = _fit(predicted, len(annotated))
    shown = _shown(visible if dataset == "lasot" else None, len(annotated))
    valid = _positive(annotated[:, 2:])
    placed = _positive(annotated[:, :2] + (annotated[:, 2:] - 1) / 2)
    divisor = _divisor(valid & shown, exclude_invalid)
    return _score(boxes[shown], annotated[shown], valid[shown], placed[shown], divisor, np.inf, note)


def trackingnet_curves(
    predicted: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray | None,
    dataset: str,
    exclude_invalid: bool,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    """TrackingNet's server: predicted boxes in whole pixels, IoU >= t.

    Args:
        predicted: [P, 4] (x, y, w, h) in pixels; rounded half to even. Missing ones at the end count as empty.
        annotated: [T, 4]; a frame is valid where width and height are above 0, an invalid one is a miss.
        visible, dataset, image_size: not used.
        exclude_invalid: divide by the valid frames instead of all.
    """
    boxes, note = _fit(np.round(predicted), len(annotated))
    valid = _positive(annotated[:, 2:])
    divisor = _divisor(valid, exclude_invalid)
    return _score(boxes, annotated, valid, valid, divisor, np.inf, note, inclusive=True)


def got10k_curves(
    predicted: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray | None,
    dataset: str,
    exclude_invalid: bool,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    """GOT-10k's toolkit: the frames after the first where the target is visible, boxes clipped to the image.

    Args:
        predicted: [P, 4] (x, y, w, h) in pixels; missing ones at the end count as empty, surplus ones are ignored.
        annotated: [T, 4].
        visible: [T] bool, False where cover is 0 or the target absent; None where every frame counts.
        dataset, exclude_invalid: not used; absent frames are always left out.
        image_size: (width, height) in pixels; None where it is not known.
    """
    boxes, note = _fit(predicted, len(annotated))
    counted = _shown(visible, len(annotated))
    counted[0] = False
    boxes, annotated = boxes[counted], annotated[counted]
    if image_size is not None:
        boxes, annotated = metrics.clip_boxes(boxes, image_size), metrics.clip_boxes(annotated, image_size)
    everywhere = np.ones(len(annotated), bool)
    return _score(boxes, annotated, everywhere, everywhere, max(len(annotated), 1), np.inf, note)


def _fit(predicted: np.ndarray, frames: int) -> tuple[np.ndarray, str]:
    """Boxes [frames, 4], cut or padded with empty ones, and a note where that was needed; a new array."""
    rows = len(predicted)
    note = "" if rows == frames else f"{rows} boxes for {frames} frames"
    return np.concatenate([predicted[:frames], np.zeros((max(frames - rows, 0), 4))]), note


def _repeat_unusable(boxes: np.ndarray, annotated: np.ndarray, given: int) -> np.ndarray:
    """[T, 4] with boxes that are NaN or not above 0 in size replaced by the one before, where annotated.

    Only the first `given` boxes are predictions; the others, which pad them, stay empty.
    """
    unusable = np.isnan(boxes).any(axis=1) | ~_positive(boxes[:, 2:])
    boxes[unusable] = 0
    predicted = np.arange(len(boxes)) < given
    return metrics.repeat_over_empty(boxes, ~np.isnan(annotated).any(axis=1) & predicted)


def _positive(values: np.ndarray) -> np.ndarray:
    """[T] bool: whether all of a row's values [T, N] are above 0; NaN is not."""
    return np.asarray((values > 0).all(axis=1))


def _shown(visible: np.ndarray | None, frames: int) -> np.ndarray:
    return np.ones(frames, bool) if visible is None else visible.astype(bool)


def _divisor(valid: np.ndarray, exclude_invalid: bool) -> int:
    return max(int(valid.sum()), 1) if exclude_invalid else len(valid)


def _score(
    boxes: np.ndarray,
    annotated: np.ndarray,
    valid: np.ndarray,
    placed: np.ndarray,
    divisor: int,
    invalid_error: float,
    note: str,
    inclusive: bool = False,
) -> SequenceCurves:
    """Curves over the frames [T]: overlaps where `valid`, else -1; centre errors where `placed`, else invalid_error."""
    overlap = metrics.box_overlap(boxes, annotated)
    error = metrics.centre_error(boxes, annotated)
    norm_error = metrics.centre_error(boxes, annotated, normalised=True)
    overlap[~valid], error[~placed], norm_error[~placed] = -1.0, invalid_error, invalid_error
    return SequenceCurves(
        success=metrics.success_curve(overlap, _THRESHOLDS, divisor, inclusive),
        precision=metrics.precision_curve(error, _PIXELS, divisor),
        norm_precision=metrics.precision_curve(norm_error, _NORMALISED, divisor),
        mean_overlap=float(overlap[valid].mean()) if valid.any() else float("nan"),
        valid_frames=int(valid.sum()),
        note=note,
    )


OTB = Protocol(
    name="otb",
    rule="mean of 21 thresholds, IoU > t: a perfect tracker scores 95.24; invalid frames are hits in precision",
    source="Wu, Lim, Yang: Object Tracking Benchmark (PAMI 2015) and its toolbox; it has no normalised "
    "precision, which is LaSOT's here",
    success_rule="mean of 21 thresholds, IoU > t; a perfect tracker scores 95.24",
    curves=otb_curves,
)

LASOT = Protocol(
    name="lasot",
    rule="as otb, absent frames removed, divided by all frames: a perfect tracker scores 95.24 times the visible part",
    source="Fan et al.: LaSOT (CVPR 2019) and LaSOT_Evaluation_Toolkit",
    success_rule="mean of 21 thresholds, IoU > t; absent frames removed, divided by all frames",
    curves=lasot_curves,
)

PYSOT = Protocol(
    name="pysot",
    rule="mean of 21 thresholds, IoU > t: a perfect tracker scores 95.24; valid: w, h > 0; LaSOT: absent removed",
    source="pysot-toolkit's one-pass evaluation",
    success_rule="mean of 21 thresholds, IoU > t; a perfect tracker scores 95.24",
    curves=pysot_curves,
)

TRACKINGNET = Protocol(
    name="trackingnet",
    rule="boxes rounded to whole pixels, IoU >= t, trapezoidal integral: a perfect tracker scores 100",
    source="Muller et al.: TrackingNet (ECCV 2018) and its server",
    success_rule="whole pixels, trapezoidal integral over 21 thresholds, IoU >= t; a perfect tracker scores 100",
    curves=trackingnet_curves,
    integral="trapezoid",
)

GOT10K = Protocol(
    name="got10k",
    rule="average overlap (AO) and success rates (SR, IoU > t) over all frames but the first of each sequence and "
    "those where the target is absent, boxes clipped to the image; the server averages over classes instead",
    source="Huang, Zhao, Huang: GOT-10k (PAMI 2019) and the got10k toolkit",
    success_rule="IoU > t, over frames, without the first ones; AO is the average overlap",
    curves=got10k_curves,
    headline="ao",
    pooling="frames",
    uses_image_size=True,
    has_precision=False,
)
