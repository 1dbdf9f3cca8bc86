"""Evaluation protocols by name: how boxes become curves. Toolkits differ, so every number carries its protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ltr.errors import UserError, check_names
from pytracking.analysis import metrics

# Thresholds of every protocol's curves: overlaps, centre errors in pixels, and the same in annotated sizes.
OVERLAPS = np.arange(21) / 20
PIXELS = np.arange(51.0)
NORMALISED = np.arange(51) / 100
# Index of the threshold at which precisions are read: 20 px, and 0.20 annotated sizes.
PRECISION_AT = 20
_MEAN_SUCCESS = "mean of 21 thresholds, IoU > t; a perfect tracker scores 95.24"


@dataclass(frozen=True)
class SequenceCurves:
    """One tracker on one sequence under one protocol; curves are parts of 1.

    Attributes:
        success: [21] over `OVERLAPS`.
        precision: [51] over `PIXELS`.
        norm_precision: [51] over `NORMALISED`.
        mean_overlap: mean overlap of the valid frames, the first included; NaN where there is none.
        valid_frames: number of valid frames.
        note: remark on an unusual result, such as missing frames; '' where there is none.
    """

    success: np.ndarray
    precision: np.ndarray
    norm_precision: np.ndarray
    mean_overlap: float
    valid_frames: int
    note: str = ""


@dataclass(frozen=True)
class Case:
    """What a protocol scores: one tracker's boxes on one sequence.

    Attributes:
        predicted: [P, 4] (x, y, w, h) in pixels.
        annotated: [T, 4] (x, y, w, h) in pixels.
        shown: [T] bool, where the target is visible.
        dataset: name of the data set.
        exclude_invalid: whether to divide by the valid frames instead of all.
        image_size: (width, height) in pixels; None where it is not known.
    """

    predicted: np.ndarray
    annotated: np.ndarray
    shown: np.ndarray
    dataset: str
    exclude_invalid: bool
    image_size: tuple[int, int] | None

    def fitted(self) -> np.ndarray:
        """[T, 4] predicted boxes: surplus ones are ignored, missing ones at the end are empty; a new array."""
        frames = len(self.annotated)
        return np.concatenate([self.predicted[:frames], np.zeros((max(frames - len(self.predicted), 0), 4))])

    def divisor(self, valid: np.ndarray) -> int:
        """Number of frames that the curves are parts of."""
        return max(int(valid.sum()), 1) if self.exclude_invalid else len(self.annotated)


@dataclass(frozen=True)
class Protocol:
    """A named way from boxes to curves.

    Attributes:
        name: name beside every number.
        rule: the protocol in one line, for tables.
        source: publication or toolkit that states the rule.
        score: from boxes to curves.
        success_rule: how the success metric is made, for plots.
        headline: the metric that ranks trackers, 'auc' (of the success curve) or 'ao' (average overlap).
        integral: how the success curve becomes the AUC, 'mean' of its values or 'trapezoid'.
        pooling: whether a data set's metric is the mean over its 'sequences' or over all of its 'frames'.
        uses_image_size: whether boxes are clipped to the image where its size is known.
        has_precision: whether the toolkit has centre errors at all.
    """

    name: str
    rule: str
    source: str
    score: Callable[[Case], SequenceCurves]
    success_rule: str = _MEAN_SUCCESS
    headline: str = "auc"
    integral: str = "mean"
    pooling: str = "sequences"
    uses_image_size: bool = False
    has_precision: bool = True

    def curves(
        self,
        predicted: np.ndarray,
        annotated: np.ndarray,
        visible: np.ndarray | None = None,
        dataset: str = "",
        exclude_invalid: bool = False,
        image_size: tuple[int, int] | None = None,
    ) -> SequenceCurves:
        """The curves of one tracker on one sequence.

        Args:
            predicted: [P, 4] (x, y, w, h) in pixels.
            annotated: [T, 4] (x, y, w, h) in pixels.
            visible: [T] bool; None where every frame counts.
            dataset: name of the data set, whose absent frames some protocols treat in a way of their own.
            exclude_invalid: divide by the valid frames instead of all.
            image_size: (width, height) in pixels, where it is known.

        Raises:
            UserError: the prediction is too short on a data set that does not allow it.
        """
        shown = np.ones(len(annotated), bool) if visible is None else visible.astype(bool)
        return self.score(Case(predicted, annotated, shown, dataset, exclude_invalid, image_size))

    def auc(self, success: np.ndarray) -> np.ndarray:
        """Area under success curves [..., 21] as parts of 1: [...]."""
        if self.integral == "mean":
            return success.mean(axis=-1)
        steps = np.diff(OVERLAPS)
        return ((success[..., 1:] + success[..., :-1]) / 2 * steps).sum(axis=-1)


@dataclass(frozen=True)
class AbsentFrames:
    """What a frame without a valid annotation counts as; these differ between data sets in the reference framework.

    Attributes:
        centre_error: in pixels; -1 counts as a hit at every threshold.
        norm_error: in annotated sizes; -1 counts as a hit at every threshold.
        invisible_norm_error: the same, where the target is marked as invisible.
        pad_short: whether a prediction that ends early is padded with empty boxes; an error otherwise.
    """

    centre_error: float = np.inf
    norm_error: float = -1.0
    invisible_norm_error: float = -1.0
    pad_short: bool = True


# In OTB, NFS and TrackingNet absent frames are none or few, and the reference counts them as the defaults say. The data
# sets below have many; for `demo` and `folder` there is no reference, and an absent frame is a miss in every curve.
_ABSENT_MISSES = AbsentFrames(norm_error=np.inf, invisible_norm_error=np.inf)
_PYTRACKING_ABSENT = {
    "uav": AbsentFrames(centre_error=-1.0),
    "lasot": AbsentFrames(invisible_norm_error=np.inf, pad_short=False),
    "demo": _ABSENT_MISSES,
    "folder": _ABSENT_MISSES,
}


def _pytracking(case: Case) -> SequenceCurves:
    """The protocol of the PyTracking framework, which papers of this line report (docs/reference.md, section 5).

    An empty box repeats the one before it, and the first is the annotation. A frame is valid where all four numbers
    are above 0 and the target is visible; what an invalid one counts as depends on the data set.
    """
    absent = _PYTRACKING_ABSENT.get(case.dataset, AbsentFrames())
    frames, rows = len(case.annotated), len(case.predicted)
    if rows < frames and not absent.pad_short:
        raise UserError(f"the result has {rows} boxes for {frames} frames, which {case.dataset} does not allow")
    boxes, given = case.fitted(), min(rows, frames)
    boxes[:given] = metrics.repeat_over_empty(boxes[:given], ~np.isnan(case.annotated[:given]).any(axis=1))
    boxes[0] = case.annotated[0]
    valid = _positive(case.annotated) & case.shown
    norm_error = np.where(case.shown, absent.norm_error, absent.invisible_norm_error)
    return _score(case, boxes, case.annotated, valid, valid, case.divisor(valid), absent.centre_error, norm_error)


def _otb(case: Case) -> SequenceCurves:
    """OTB's toolbox: the first box is the annotation, a box that is empty, negative or NaN repeats the one before it.

    A frame is valid where all four numbers are above 0. An invalid one is a miss in success and, as the toolbox gives
    it an error of -1, a hit in precision.
    """
    valid = _positive(case.annotated)
    return _score(case, _repeated(case), case.annotated, valid, valid, case.divisor(valid), -1.0)


def _lasot(case: Case) -> SequenceCurves:
    """LaSOT's toolkit: as OTB's, on the frames where the target is visible; the divisor stays the full length."""
    valid, shown = _positive(case.annotated), case.shown
    divisor = case.divisor(valid & shown)
    return _score(case, _repeated(case)[shown], case.annotated[shown], valid[shown], valid[shown], divisor, -1.0)


def _pysot(case: Case) -> SequenceCurves:
    """pysot's toolkit: boxes as they stand, the first included; on LaSOT absent frames are removed.

    A frame is valid for overlaps where width and height are above 0, for centre errors where the centre is. An invalid
    one is a miss in all curves and stays in the divisor, as a removed one does.
    """
    annotated = case.annotated
    shown = case.shown if case.dataset == "lasot" else np.ones(len(annotated), bool)
    valid = _positive(annotated[:, 2:])
    placed = _positive(annotated[:, :2] + (annotated[:, 2:] - 1) / 2)
    divisor = case.divisor(valid & shown)
    return _score(case, case.fitted()[shown], annotated[shown], valid[shown], placed[shown], divisor, np.inf)


def _trackingnet(case: Case) -> SequenceCurves:
    """TrackingNet's server: boxes in whole pixels (half to even), IoU >= t; valid where w and h are above 0."""
    valid = _positive(case.annotated[:, 2:])
    boxes = np.round(case.fitted())
    return _score(case, boxes, case.annotated, valid, valid, case.divisor(valid), np.inf, inclusive=True)


def _got10k(case: Case) -> SequenceCurves:
    """GOT-10k's toolkit: the frames after the first where the target is visible, boxes clipped to the image.

    Visible means that cover is above 0 and the target not absent; such frames alone are ever counted.
    """
    counted = case.shown.copy()
    counted[0] = False
    boxes, annotated = case.fitted()[counted], case.annotated[counted]
    if case.image_size is not None:
        boxes, annotated = (metrics.clip_boxes(values, case.image_size) for values in (boxes, annotated))
    everywhere = np.ones(len(annotated), bool)
    return _score(case, boxes, annotated, everywhere, everywhere, max(len(annotated), 1), np.inf)


def _repeated(case: Case) -> np.ndarray:
    """[T, 4] with predictions that are NaN or not above 0 in size replaced by the one before, where annotated."""
    boxes = case.fitted()
    boxes[np.isnan(boxes).any(axis=1) | ~_positive(boxes[:, 2:])] = 0
    # Boxes that pad a short result stay empty.
    predicted = np.arange(len(boxes)) < len(case.predicted)
    boxes = metrics.repeat_over_empty(boxes, ~np.isnan(case.annotated).any(axis=1) & predicted)
    boxes[0] = case.annotated[0]
    return boxes


def _positive(values: np.ndarray) -> np.ndarray:
    """[T] bool: whether all of a row's values [T, N] are above 0; NaN is not."""
    return np.asarray((values > 0).all(axis=1))


def _score(
    case: Case,
    boxes: np.ndarray,
    annotated: np.ndarray,
    valid: np.ndarray,
    placed: np.ndarray,
    divisor: int,
    invalid_error: float,
    invalid_norm_error: np.ndarray | None = None,
    inclusive: bool = False,
) -> SequenceCurves:
    """Curves over the frames [T]: overlaps where `valid`, else -1; centre errors where `placed`, else invalid_error."""
    overlap = metrics.box_overlap(boxes, annotated)
    error = metrics.centre_error(boxes, annotated)
    norm_error = metrics.centre_error(boxes, annotated, normalised=True)
    overlap[~valid], error[~placed] = -1.0, invalid_error
    rows, frames = len(case.predicted), len(case.annotated)
    norm_error[~placed] = invalid_error if invalid_norm_error is None else invalid_norm_error[~placed]
    return SequenceCurves(
        success=metrics.success_curve(overlap, OVERLAPS, divisor, inclusive),
        precision=metrics.precision_curve(error, PIXELS, divisor),
        norm_precision=metrics.precision_curve(norm_error, NORMALISED, divisor),
        mean_overlap=float(overlap[valid].mean()) if valid.any() else float("nan"),
        valid_frames=int(valid.sum()),
        note="" if rows == frames else f"{rows} boxes for {frames} frames",
    )


PYTRACKING = Protocol(
    name="pytracking",
    rule="mean of 21 thresholds, IoU > t: a perfect tracker scores 95.24; precision at 20 px, normalised at 0.20",
    source="the PyTracking framework's analysis, which papers of this line report",
    score=_pytracking,
)

OTB = Protocol(
    name="otb",
    rule="mean of 21 thresholds, IoU > t: a perfect tracker scores 95.24; invalid frames are hits in precision",
    source="Wu, Lim, Yang: Object Tracking Benchmark (PAMI 2015) and its toolbox; it has no normalised "
    "precision, which is LaSOT's here",
    score=_otb,
)

LASOT = Protocol(
    name="lasot",
    rule="as otb, absent frames removed, divided by all frames: a perfect tracker scores 95.24 times the visible part",
    source="Fan et al.: LaSOT (CVPR 2019) and LaSOT_Evaluation_Toolkit",
    success_rule="mean of 21 thresholds, IoU > t; absent frames removed, divided by all frames",
    score=_lasot,
)

PYSOT = Protocol(
    name="pysot",
    rule="mean of 21 thresholds, IoU > t: a perfect tracker scores 95.24; valid: w, h > 0; LaSOT: absent removed",
    source="pysot-toolkit's one-pass evaluation",
    score=_pysot,
)

TRACKINGNET = Protocol(
    name="trackingnet",
    rule="boxes rounded to whole pixels, IoU >= t, trapezoidal integral: a perfect tracker scores 100",
    source="Muller et al.: TrackingNet (ECCV 2018) and its server",
    success_rule="whole pixels, trapezoidal integral over 21 thresholds, IoU >= t; a perfect tracker scores 100",
    score=_trackingnet,
    integral="trapezoid",
)

GOT10K = Protocol(
    name="got10k",
    rule="average overlap (AO) and success rates (SR, IoU > t) over all frames but the first of each sequence and "
    "those where the target is absent, boxes clipped to the image; the server averages over classes instead",
    source="Huang, Zhao, Huang: GOT-10k (PAMI 2019) and the got10k toolkit",
    success_rule="IoU > t, over frames, without the first ones; AO is the average overlap",
    score=_got10k,
    headline="ao",
    pooling="frames",
    uses_image_size=True,
    has_precision=False,
)

PROTOCOLS = {protocol.name: protocol for protocol in (PYTRACKING, OTB, LASOT, GOT10K, TRACKINGNET, PYSOT)}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises `UserError` for an unknown one, naming the nearest."""
    if name == "vot":
        raise UserError(
            "protocol 'vot' scores supervised runs (restarted after a failure): python -m pytracking.analysis.vot"
        )
    check_names("protocol", [name], PROTOCOLS)
    return PROTOCOLS[name]
