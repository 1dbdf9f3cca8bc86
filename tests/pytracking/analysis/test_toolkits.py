"""The toolkits' protocols: scores that a benchmark shipped, a plain count over frames, and their rules one by one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ltr.errors import UserError
from pytracking.analysis.protocol import PROTOCOLS, SequenceCurves, get_protocol

GOLDEN = Path(__file__).parents[2] / "data" / "foreign_results.npz"
BOX = [10.0, 10, 20, 20]
FAR = [500.0, 500, 20, 20]
NAN = [math.nan] * 4


def curves_of(
    protocol: str,
    predicted: list[list[float]],
    annotated: list[list[float]],
    visible: list[bool] | None = None,
    dataset: str = "otb",
    exclude: bool = False,
    image_size: tuple[int, int] | None = None,
) -> SequenceCurves:
    shown = None if visible is None else np.array(visible)
    curves = PROTOCOLS[protocol].curves
    return curves(np.array(predicted, float), np.array(annotated, float), shown, dataset, exclude, image_size)


@pytest.mark.parametrize("sequence", ["Deer", "Couple", "Skiing", "Crossing"])
def test_overlaps_of_struck_are_those_that_the_benchmark_shipped(sequence: str) -> None:
    with np.load(GOLDEN) as golden:
        predicted, annotated = golden[f"otb_{sequence}_STRUCK"], golden[f"otb_{sequence}_annotation"]
        curves = PROTOCOLS["otb"].curves(predicted, annotated, None, "otb", False, None)
        assert abs(curves.mean_overlap - golden[f"otb_{sequence}_STRUCK_shipped_overlap"]) < 1e-12


def iou(first: np.ndarray, second: np.ndarray) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = first, second
    width = max(0.0, min(ax + aw, bx + bw) - max(ax, bx))
    height = max(0.0, min(ay + ah, by + bh) - max(ay, by))
    return width * height / (aw * ah + bw * bh - width * height)


@pytest.mark.parametrize("tracker", ["ATOM", "DiMP50"])
def test_a_plain_count_over_frames_gives_the_same(tracker: str) -> None:
    with np.load(GOLDEN) as golden:
        predicted, annotated = golden[f"lasot_{tracker}"], golden["lasot_annotation"]
        visible = golden["lasot_visible"]
    frames = len(annotated)
    overlaps = [iou(*pair) for pair in zip(predicted, annotated)]
    overlaps[0] = 1.0
    whole = [iou(*pair) for pair in zip(np.rint(predicted), annotated)]
    shown = [overlap for overlap, seen in zip(overlaps, visible) if seen]
    counted = [overlap for overlap, seen in list(zip(overlaps, visible))[1:] if seen]
    expected = {
        "otb": [sum(o > k / 20 for o in overlaps) / frames for k in range(21)],
        "lasot": [sum(o > k / 20 for o in shown) / frames for k in range(21)],
        "pysot": [sum(o > k / 20 for o in shown) / frames for k in range(21)],
        "trackingnet": [sum(o >= k / 20 for o in whole) / frames for k in range(21)],
        "got10k": [sum(o > k / 20 for o in counted) / len(counted) for k in range(21)],
    }
    for name, success in expected.items():
        curves = PROTOCOLS[name].curves(predicted, annotated, visible, "lasot", False, None)
        assert np.allclose(curves.success, success, atol=1e-12), name
    got10k = PROTOCOLS["got10k"].curves(predicted, annotated, visible, "lasot", False, None)
    assert got10k.mean_overlap == pytest.approx(sum(counted) / len(counted), abs=1e-12)
    assert got10k.valid_frames == len(counted)


@pytest.mark.parametrize(
    ("protocol", "perfect"), [("otb", 20 / 21), ("lasot", 20 / 21), ("pysot", 20 / 21), ("trackingnet", 1.0)]
)
def test_what_a_perfect_tracker_scores(protocol: str, perfect: float) -> None:
    curves = curves_of(protocol, [BOX] * 3, [BOX] * 3)
    assert PROTOCOLS[protocol].auc(curves.success) == pytest.approx(perfect)
    assert curves.precision.tolist() == [1] * 51
    assert curves_of("got10k", [BOX] * 3, [BOX] * 3).mean_overlap == 1


def test_the_trapezoidal_integral_halves_the_ends() -> None:
    success = np.linspace(1, 0, 21)
    assert PROTOCOLS["trackingnet"].auc(success) == pytest.approx(0.5)
    step = np.array([1.0] * 11 + [0.0] * 10)
    assert PROTOCOLS["trackingnet"].auc(step) == pytest.approx(0.525)
    assert PROTOCOLS["otb"].auc(step) == pytest.approx(11 / 21)


@pytest.mark.parametrize("box", [NAN, [10.0, 10, 0, 20], [10.0, 10, 20, -3]])
def test_otb_repeats_unusable_boxes(box: list[float]) -> None:
    for protocol in ("otb", "lasot"):
        assert curves_of(protocol, [BOX, BOX, box], [BOX] * 3).mean_overlap == 1
    assert curves_of("pysot", [BOX, BOX, box], [BOX] * 3).mean_overlap == pytest.approx(2 / 3)


def test_the_first_frame() -> None:
    for protocol, overlap in (("otb", 1), ("lasot", 1), ("pysot", 0.5), ("trackingnet", 0.5), ("got10k", 1)):
        assert curves_of(protocol, [FAR, BOX], [BOX, BOX]).mean_overlap == overlap, protocol


def test_invalid_frames() -> None:
    predicted, annotated = [BOX, BOX, BOX, BOX], [BOX, BOX, [0.0, 10, 20, 20], NAN]
    for protocol, success, precision in (
        ("otb", 0.5, 1.0),
        ("lasot", 0.5, 1.0),
        ("pysot", 0.75, 0.75),
        ("trackingnet", 0.75, 0.75),
    ):
        curves = curves_of(protocol, predicted, annotated)
        assert (curves.success[5], curves.precision[50]) == (success, precision), protocol
    excluded = curves_of("otb", predicted, annotated, exclude=True)
    assert excluded.success[5] == 1


def test_absent_frames() -> None:
    predicted, annotated, visible = [BOX] * 4, [BOX] * 4, [True, True, True, False]
    parts = {
        (protocol, dataset): curves_of(protocol, predicted, annotated, visible, dataset).success[5]
        for protocol in ("otb", "lasot", "pysot", "trackingnet", "got10k")
        for dataset in ("otb", "lasot")
    }
    lower = {("lasot", "otb"), ("lasot", "lasot"), ("pysot", "lasot")}
    assert {key for key, part in parts.items() if part == 0.75} == lower
    assert all(part == 1 for key, part in parts.items() if key not in lower)
    assert curves_of("lasot", predicted, annotated, visible, exclude=True).success[5] == 1
    assert curves_of("got10k", predicted, annotated, visible).valid_frames == 2


def test_trackingnet_rounds_and_counts_equal_overlaps() -> None:
    assert curves_of("trackingnet", [[10.4, 9.6, 20.3, 19.7]], [BOX]).mean_overlap == 1
    half = curves_of("trackingnet", [[10.0, 10, 10, 20]], [BOX]).success
    assert (half[10], half[11]) == (1, 0)
    assert curves_of("otb", [BOX, [10.0, 10, 10, 20]], [BOX, BOX]).success[10] == 0.5


def test_got10k_clips_to_the_image() -> None:
    predicted, annotated = [BOX, [20.0, 0, 40, 10]], [BOX, [20.0, 0, 20, 10]]
    assert curves_of("got10k", predicted, annotated).mean_overlap == 0.5
    assert curves_of("got10k", predicted, annotated, image_size=(30, 20)).mean_overlap == 1
    assert curves_of("got10k", [BOX, FAR], [BOX, BOX], image_size=(30, 30)).mean_overlap == 0


def test_a_sequence_of_one_frame_counts_nothing_for_got10k() -> None:
    curves = curves_of("got10k", [BOX], [BOX])
    assert curves.valid_frames == 0
    assert math.isnan(curves.mean_overlap)


@pytest.mark.parametrize("protocol", ["otb", "lasot", "pysot", "trackingnet", "got10k"])
def test_short_and_long_results_are_noted(protocol: str) -> None:
    short = curves_of(protocol, [BOX, BOX], [BOX] * 3)
    assert short.note == "2 boxes for 3 frames"
    assert short.success[5] == pytest.approx(0.5 if protocol == "got10k" else 2 / 3)
    long = curves_of(protocol, [BOX, BOX, BOX, FAR], [BOX] * 3)
    assert (long.note, long.success[5]) == ("4 boxes for 3 frames", 1)


def test_every_protocol_says_its_source_and_vot_where_it_is() -> None:
    assert list(PROTOCOLS) == ["pytracking", "otb", "lasot", "got10k", "trackingnet", "pysot"]
    assert all(protocol.source and protocol.rule and protocol.success_rule for protocol in PROTOCOLS.values())
    with pytest.raises(UserError, match=r"python -m pytracking\.analysis\.vot"):
        get_protocol("vot")


whole_boxes = arrays.arrays(np.float64, (7, 4), elements=st.integers(1, 40).map(float))


@settings(deadline=None, derandomize=True)
@given(whole_boxes, whole_boxes, arrays.arrays(np.bool_, 7))
def test_where_the_toolkits_agree(predicted: np.ndarray, annotated: np.ndarray, visible: np.ndarray) -> None:
    predicted[0] = annotated[0]
    visible[0] = True

    def success(protocol: str, shown: np.ndarray | None) -> np.ndarray:
        return PROTOCOLS[protocol].curves(predicted, annotated, shown, "lasot", False, None).success

    for protocol in ("otb", "lasot", "pysot"):
        assert np.array_equal(success(protocol, None), success("pytracking", None))
    for protocol in ("lasot", "pysot"):
        assert np.array_equal(success(protocol, visible), success("pytracking", visible))
    assert (success("trackingnet", None) >= success("otb", None)).all()
