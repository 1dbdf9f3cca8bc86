"""The pytracking protocol against golden numbers, and its rules one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.analysis.protocol import (
    NORMALISED,
    OVERLAPS,
    PIXELS,
    PRECISION_AT,
    PYTRACKING,
    SequenceCurves,
    get_protocol,
)

GOLDEN = Path(__file__).parents[2] / "data" / "metrics.npz"
BOX = [10.0, 10, 20, 20]


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("dataset", ["otb", "nfs", "uav", "lasot", "trackingnet"])
def test_golden_curves_and_figures(dataset: str, exclude: bool) -> None:
    with np.load(GOLDEN) as golden:
        visible = golden["lasot_visible"].astype(bool) if dataset == "lasot" else None
        curves = PYTRACKING.curves(golden[f"{dataset}_pred"], golden[f"{dataset}_gt"], visible, dataset, exclude)
        prefix = f"{dataset}_exclude_invalid" if exclude else dataset
        for name in ("success", "precision", "norm_precision"):
            assert np.abs(getattr(curves, name) - golden[f"{prefix}_{name}_curve"]).max() < 1e-6, name
        figures = {
            "auc": curves.success.mean(),
            "precision20": curves.precision[PRECISION_AT],
            "norm_precision20": curves.norm_precision[PRECISION_AT],
            "norm_precision_auc": curves.norm_precision.mean(),
        }
        for name, value in figures.items():
            assert abs(value - golden[f"{prefix}_{name}"] / 100) < 1e-6, name
        assert abs(curves.mean_overlap - golden[f"{dataset}_mean_overlap"]) < 1e-6


def curves_of(
    predicted: list[list[float]],
    annotated: list[list[float]],
    visible: list[bool] | None = None,
    dataset: str = "otb",
    exclude: bool = False,
) -> SequenceCurves:
    shown = None if visible is None else np.array(visible)
    return PYTRACKING.curves(np.array(predicted), np.array(annotated), shown, dataset, exclude)


def test_a_perfect_tracker_scores_95_24() -> None:
    curves = curves_of([BOX] * 3, [BOX] * 3)
    assert round(100 * curves.success.mean(), 2) == 95.24
    assert curves.precision.tolist() == [1] * 51
    assert curves.note == ""


def test_the_first_frame_is_the_annotation() -> None:
    assert curves_of([[500, 500, 9, 9], BOX], [BOX, BOX]).mean_overlap == 1


def test_a_short_result_counts_as_empty_boxes_and_is_noted() -> None:
    curves = curves_of([BOX, BOX], [BOX] * 4)
    assert curves.success[0] == 0.5
    assert curves.note == "2 boxes for 4 frames"
    with pytest.raises(UserError, match="3 boxes for 4 frames, which lasot does not allow"):
        curves_of([BOX] * 3, [BOX] * 4, dataset="lasot")


def test_a_long_result_is_cut() -> None:
    curves = curves_of([BOX, BOX, [0, 0, 1, 1]], [BOX, BOX])
    assert curves.success[0] == 1
    assert curves.note == "3 boxes for 2 frames"


def test_an_empty_prediction_repeats_unless_the_annotation_is_unknown() -> None:
    empty, unknown = [0.0, 0, 0, 0], [float("nan")] * 4
    assert curves_of([BOX, BOX, empty], [BOX] * 3).success[0] == 1
    with_gap = curves_of([BOX, BOX, empty, empty], [BOX, BOX, unknown, BOX], dataset="demo")
    assert with_gap.success[0] == 0.5, "the empty box in the unknown frame is what the last frame repeats"


def test_absent_frames_stay_in_the_divisor_or_are_left_out() -> None:
    annotated = [BOX, [float("nan")] * 4, BOX, [0.0, 0, 0, 0]]
    assert curves_of([BOX] * 4, annotated, dataset="demo").success[0] == 0.5
    assert curves_of([BOX] * 4, annotated, dataset="demo", exclude=True).success[0] == 1
    assert curves_of([BOX] * 4, annotated, dataset="demo").valid_frames == 2


@pytest.mark.parametrize(
    ("dataset", "precision", "norm_precision"),
    [("otb", 0.5, 1.0), ("uav", 1.0, 1.0), ("lasot", 0.5, 0.5), ("demo", 0.5, 0.5), ("folder", 0.5, 0.5)],
)
def test_what_an_absent_frame_counts_as(dataset: str, precision: float, norm_precision: float) -> None:
    visible = [True, False] if dataset == "lasot" else None
    curves = curves_of([BOX, BOX], [BOX, [float("nan")] * 4], visible, dataset)
    assert curves.precision[0] == precision
    assert curves.norm_precision[0] == norm_precision
    assert curves.success[0] == 0.5


def test_an_invisible_target_is_not_valid() -> None:
    curves = curves_of([BOX, BOX], [BOX, BOX], [True, False], "lasot")
    assert (curves.valid_frames, curves.success[0]) == (1, 0.5)


def test_a_sequence_without_a_valid_frame() -> None:
    curves = curves_of([BOX], [[0.0, 0, 0, 0]], dataset="demo", exclude=True)
    assert np.isnan(curves.mean_overlap)
    assert curves.success.tolist() == [0] * 21


def test_thresholds_and_names() -> None:
    assert get_protocol("pytracking") is PYTRACKING
    assert (len(OVERLAPS), len(PIXELS), len(NORMALISED)) == (21, 51, 51)
    assert (PIXELS[PRECISION_AT], NORMALISED[PRECISION_AT]) == (20, 0.2)
    with pytest.raises(UserError, match="unknown protocol 'pytraking'; did you mean 'pytracking'"):
        get_protocol("pytraking")
