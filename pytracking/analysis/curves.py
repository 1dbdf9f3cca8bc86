"""What a protocol is: a named way from boxes to the curves of one sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class SequenceCurves:
    """One tracker on one sequence under one protocol; curves are parts of 1.

    Attributes:
        success: [21] over the protocol's overlap thresholds.
        precision: [51] over its centre-error thresholds, in pixels.
        norm_precision: [51] over its normalised thresholds.
        mean_overlap: mean overlap of the valid frames, the first included; NaN where there is none.
        valid_frames: number of valid frames.
        note: what is unusual about the result, such as missing frames; '' where nothing is.
    """

    success: np.ndarray
    precision: np.ndarray
    norm_precision: np.ndarray
    mean_overlap: float
    valid_frames: int
    note: str = ""


Curves = Callable[[np.ndarray, np.ndarray, "np.ndarray | None", str, bool, "tuple[int, int] | None"], SequenceCurves]


@dataclass(frozen=True)
class Protocol:
    """A named way from boxes to curves.

    Attributes:
        name: what stands beside every number.
        rule: the protocol in one line, for tables.
        source: where the rule is written down.
        success_rule: how the success figure is made, for plots.
        overlap_thresholds: of the success curve.
        centre_thresholds: of the precision curve, in pixels.
        norm_thresholds: of the normalised precision curve, in annotated sizes.
        precision_at: index into `centre_thresholds` of the precision figure (20 px).
        norm_precision_at: index into `norm_thresholds` of the normalised precision figure (0.20).
        curves: (predicted [P, 4], annotated [T, 4], visible [T] bool or None, data set's name, exclude invalid frames,
            image size (width, height) or None) -> curves.
        headline: the figure that ranks trackers, 'auc' (of the success curve) or 'ao' (average overlap).
        integral: how the success curve becomes the AUC, 'mean' of its values or 'trapezoid'.
        pooling: whether a data set's figure is the mean over its 'sequences' or over all of its 'frames'.
        uses_image_size: whether boxes are clipped to the image where its size is known.
        has_precision: whether the toolkit has centre errors at all.
    """

    name: str
    rule: str
    source: str
    success_rule: str
    curves: Curves
    headline: str = "auc"
    integral: str = "mean"
    pooling: str = "sequences"
    uses_image_size: bool = False
    has_precision: bool = True
    overlap_thresholds: np.ndarray = field(default_factory=lambda: np.arange(21) / 20)
    centre_thresholds: np.ndarray = field(default_factory=lambda: np.arange(51.0))
    norm_thresholds: np.ndarray = field(default_factory=lambda: np.arange(51) / 100)
    precision_at: int = 20
    norm_precision_at: int = 20

    def auc(self, success: np.ndarray) -> np.ndarray:
        """Area under success curves [..., 21] as parts of 1: [...]."""
        if self.integral == "mean":
            return success.mean(axis=-1)
        steps = np.diff(self.overlap_thresholds)
        return ((success[..., 1:] + success[..., :-1]) / 2 * steps).sum(axis=-1)
