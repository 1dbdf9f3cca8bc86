"""Evaluation protocols by name: how boxes become curves. Toolkits differ, so every number carries its protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.errors import UserError, unknown_name
from pytracking.analysis import metrics
from pytracking.analysis.curves import Protocol, SequenceCurves
from pytracking.analysis.toolkits import GOT10K, LASOT, OTB, PYSOT, TRACKINGNET


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


def pytracking_curves(
    predicted: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray | None,
    dataset: str,
    exclude_invalid: bool,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    """The protocol of the PyTracking framework, which papers of this line report (docs/reference.md, section 5).

    Args:
        predicted: [P, 4] (x, y, w, h); an empty box repeats the one before it, the first is replaced by the
            annotation, missing ones at the end count as empty, surplus ones are ignored.
        annotated: [T, 4] (x, y, w, h); a frame is valid where all four are above 0 and the target is visible.
        visible: [T] bool, or None.
        dataset: decides what an invalid frame counts as.
        exclude_invalid: divide by the valid frames instead of all.
        image_size: not used.

    Raises:
        UserError: the prediction is too short on a data set that does not allow it.
    """
    absent = _PYTRACKING_ABSENT.get(dataset, AbsentFrames())
    frames, rows = len(annotated), len(predicted)
    if rows < frames and not absent.pad_short:
        raise UserError(f"the result has {rows} boxes for {frames} frames, which {dataset} does not allow")
    note = "" if rows == frames else f"{rows} boxes for {frames} frames"
    boxes = metrics.repeat_over_empty(predicted[:frames], ~np.isnan(annotated[:rows]).any(axis=1))
    boxes = np.concatenate([boxes, np.zeros((frames - len(boxes), 4))])
    boxes[0] = annotated[0]

    valid = (annotated > 0).all(axis=1)
    shown = np.ones(frames, bool) if visible is None else visible
    valid &= shown
    overlap = metrics.box_overlap(boxes, annotated)
    error = metrics.centre_error(boxes, annotated)
    norm_error = metrics.centre_error(boxes, annotated, normalised=True)
    overlap[~valid], error[~valid], norm_error[~valid] = -1.0, absent.centre_error, absent.norm_error
    norm_error[~shown] = absent.invisible_norm_error

    divisor = max(int(valid.sum()), 1) if exclude_invalid else frames
    return SequenceCurves(
        success=metrics.success_curve(overlap, PYTRACKING.overlap_thresholds, divisor),
        precision=metrics.precision_curve(error, PYTRACKING.centre_thresholds, divisor),
        norm_precision=metrics.precision_curve(norm_error, PYTRACKING.norm_thresholds, divisor),
        mean_overlap=float(overlap[valid].mean()) if valid.any() else float("nan"),
        valid_frames=int(valid.sum()),
        note=note,
    )


PYTRACKING = Protocol(
    name="pytracking",
    rule="mean of 21 thresholds, IoU > t: a perfect tracker scores 95.24; precision at 20 px, normalised at 0.20",
    source="the PyTracking framework's analysis, which papers of this line report",
    success_rule="mean of 21 thresholds, IoU > t; a perfect tracker scores 95.24",
    curves=pytracking_curves,
)

PROTOCOLS = {protocol.name: protocol for protocol in (PYTRACKING, OTB, LASOT, GOT10K, TRACKINGNET, PYSOT)}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises `UserError` for an unknown one, naming the nearest."""
    if name == "vot":
        raise UserError(
            "protocol 'vot' scores supervised runs (restarted after a failure): python -m pytracking.analysis.vot"
        )
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
