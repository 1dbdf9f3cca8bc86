"""Worst sequences and frames, and the plots of overlap and of intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ltr.errors import UserError
from pytracking import get_dataset
from pytracking.analysis.bootstrap import Difference
from pytracking.analysis.comparisons import draw_intervals
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.pictures import draw_overlap, draw_worst_frames, worst_frames, worst_sequences
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.tracker import TrackerRun

RAW = Path(__file__).resolve().parents[2] / "data" / "demo_results"
RUNS = [TrackerRun("opencv", "csrt", display_name="CSRT"), TrackerRun("opencv", "kcf", display_name="KCF")]


@pytest.fixture
def dog() -> Sequence:
    return get_dataset("demo", sequences=["dog"])[0]


def test_worst_sequences_of_the_demo() -> None:
    scores = extract_scores(RUNS, get_dataset("demo"), RAW)
    assert worst_sequences(scores, "CSRT", 2) == ["ball", "dog"]
    assert worst_sequences(scores, "KCF", 99) == ["ball", "dog", "girl", "juggler", "mug"]
    with pytest.raises(UserError, match="did you mean 'CSRT'"):
        worst_sequences(scores, "CRST")


def test_the_worst_frame_of_each_stretch() -> None:
    annotated = np.tile([10.0, 10.0, 20.0, 20.0], (8, 1))
    predicted = annotated.copy()
    predicted[:, 0] += [9, 0, 3, 1, 0, 0, 2, 5]
    assert worst_frames(predicted, annotated, 2) == [2, 7]
    annotated[7] = np.nan
    assert worst_frames(predicted, annotated, 2) == [2, 6]
    annotated[4:] = 0
    assert worst_frames(predicted, annotated, 2) == [2]
    assert worst_frames(predicted[:1], annotated[:1], 4) == []


def test_frames_and_overlap_of_real_results(dog: Sequence) -> None:
    sheet = draw_worst_frames(dog, RUNS, RAW, 3)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (225 + 4 + 24, 3 * 404, 3)
    figure = draw_overlap(dog, RUNS, RAW)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["CSRT", "KCF"]
    overlap = np.asarray(axes.lines[-1].get_ydata(), float)
    assert overlap[0] == pytest.approx(1, abs=1e-3)
    # The dog is absent in frames 24 to 36.
    assert (np.flatnonzero(np.isnan(overlap)) + 1).tolist() == list(range(24, 37))


def test_a_result_of_another_length_is_refused(dog: Sequence, tmp_path: Path) -> None:
    folder = tmp_path / "opencv" / "csrt"
    folder.mkdir(parents=True)
    (folder / "dog.txt").write_text("1,2,3,4\n5,6,7,8\n")
    with pytest.raises(UserError, match="2 boxes for 97 frames"):
        draw_overlap(dog, RUNS[:1], tmp_path)


def test_intervals_are_coloured_where_they_tell_something() -> None:
    differences = {
        "without zero": Difference(2, 1, 3, 100),
        "holds zero": Difference(1, -1, 3, 100),
        "one sequence": Difference(5, 5, 5, 1),
        "a few": Difference(5, 4, 6, 7),
    }
    axes = draw_intervals(differences, "title", "label").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(differences)
    colours = [str(line.get_color()) for line in axes.lines if line.get_marker() == "o"]
    assert colours[1] == colours[2] == colours[3] != colours[0]
    filled = [line.get_markerfacecolor() != "white" for line in axes.lines if line.get_marker() == "o"]
    assert filled == [True, True, False, False], "too few sequences decide nothing"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    with pytest.raises(UserError, match="no differences"):
        draw_intervals({}, "", "")
