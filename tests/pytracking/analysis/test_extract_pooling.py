"""Means over sequences or frames, spread over runs, and tables under other protocols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ltr.dataset.boxfile import format_boxes
from pytracking import get_dataset, trackerlist
from pytracking.analysis import plots
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.plot_results import write_plots
from pytracking.analysis.tables import per_sequence_table, results_table
from pytracking.evaluation.data import Sequence

SHIFTS = {"good_000": (0, 0), "good_001": (0, 500), "other": (500, 0)}


def sequence(name: str, frames: int, root: Path) -> Sequence:
    boxes = np.tile([10.0, 10, 20, 20], (frames, 1))
    paths = [root / f"{number}.jpg" for number in range(frames)]
    return Sequence(name, paths, "got10k_val", boxes, root / f"{name}.txt", np.ones(frames, bool))


@pytest.fixture
def dataset(tmp_path: Path) -> list[Sequence]:
    return [sequence("long", 11, tmp_path), sequence("short", 2, tmp_path)]


@pytest.fixture
def results(tmp_path: Path, dataset: list[Sequence]) -> Path:
    """Each run is perfect where its shift is 0 and lost where it is 500: the first number is 'long''s."""
    for parameter, shifts in SHIFTS.items():
        for item, shift in zip(dataset, shifts):
            file = tmp_path / "results" / "t" / parameter / f"{item.name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(format_boxes(item.ground_truth_rect + np.array([shift, 0, 0, 0])))
    return tmp_path / "results"


TRACKERS = trackerlist("t", "good", (0, 1)) + trackerlist("t", "other")


def test_frames_are_pooled_where_the_protocol_says_so(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset, results, protocol="got10k")
    assert scores.weights.tolist() == [10, 1]
    assert np.allclose(scores.mean(scores.headline), [100, 1000 / 11, 100 / 11])
    assert np.allclose(scores.mean(scores.headline, np.array([False, True])), [100, 0, 100])
    assert np.isnan(scores.mean(scores.headline, np.zeros(2, bool))).all()
    by_sequence = extract_scores(TRACKERS, dataset, results, protocol="trackingnet")
    assert np.allclose(by_sequence.mean(by_sequence.overlap_precision(0.5)), [100, 50, 50])


def test_spread_over_runs(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset, results, protocol="got10k", merge_results=True)
    assert scores.trackers == ["t/good", "t/other"]
    assert np.allclose(scores.mean(scores.per_run().headline)[:2], [100, 1000 / 11])
    assert scores.spread()[0] == pytest.approx((100 - 1000 / 11) / np.sqrt(2))
    assert np.isnan(scores.spread()[1])
    lines = results_table(scores).splitlines()
    assert lines[0].split()[3:] == ["AO", "SR0.5", "SR0.75", "FPS"]
    assert lines[2].split() == ["t/good", "95.5", "±", "6.4", "95.5", "95.5", "-"]
    assert lines[3].split()[:2] == ["t/other", "9.1"]
    assert per_sequence_table(scores).splitlines()[0].startswith("AO on got10k_val")


def test_the_image_size_is_read_where_there_are_frames(sequence_root: Path, tmp_path: Path) -> None:
    near = get_dataset("folder", path=sequence_root, sequences=["near"])
    beyond = near[0].ground_truth_rect.copy()
    beyond[:, 3] = 1000
    folder = tmp_path / "results" / "t" / "tall"
    folder.mkdir(parents=True)
    (folder / "near.txt").write_text(format_boxes(beyond))
    scores = extract_scores(trackerlist("t", "tall"), near, tmp_path / "results", protocol="got10k")
    # Clipped to the 72 rows of the image, 48 of the box's rows are left, 24 of them the target's.
    assert scores.mean_overlap[0, 0] == pytest.approx(0.5)


def test_plots_name_the_headline_figure(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset, results, protocol="got10k")
    figure = plots.draw_curves(scores, "success")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "tracker [AO]"
    assert legend.get_texts()[0].get_text() == "t/good_000 [100.0]"
    assert "protocol got10k" in " ".join(text.get_text() for text in figure.texts)


def test_a_protocol_without_centre_errors_has_no_precision_plots(
    dataset: list[Sequence], results: Path, tmp_path: Path
) -> None:
    scores = extract_scores(TRACKERS, dataset, results, protocol="got10k")
    assert [path.name for path in write_plots(scores, tmp_path / "plots")] == ["success_plot.png", "success_plot.pdf"]
