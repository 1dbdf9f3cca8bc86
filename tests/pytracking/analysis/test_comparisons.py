"""Radar, speed-accuracy and scatter plots show the scores, each tracker in its colour, and the protocol."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ltr.dataset.boxfile import format_boxes
from ltr.errors import UserError
from pytracking.analysis.comparisons import draw_attribute_radar, draw_scatter, draw_speed_accuracy
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.plots import draw_curves, save_figure, tracker_style
from pytracking.analysis.scores import Scores
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.tracker import trackerlist
from pytracking.run_report import main

ATTRIBUTES = {"one": ("OCC", "FM"), "two": ("FM", "SV"), "three": ("SV", "LR"), "four": None}


@pytest.fixture
def dataset(tmp_path: Path) -> list[Sequence]:
    boxes = np.tile([10.0, 10, 20, 20], (8, 1))
    frames = [Path(f"{number}.jpg") for number in range(8)]
    return [
        Sequence(name, frames, "otb", boxes, tmp_path / f"{name}.txt", attributes=attributes)
        for name, attributes in ATTRIBUTES.items()
    ]


@pytest.fixture
def results(tmp_path: Path, dataset: list[Sequence]) -> Path:
    """'good' loses the target on 'two' only, 'bad' on all but 'two'; 'good' alone has times, 50 frames a second."""
    root = tmp_path / "results"
    for tracker in ("good", "bad"):
        folder = root / tracker / "x"
        folder.mkdir(parents=True)
        for sequence in dataset:
            lost = (sequence.name == "two") == (tracker == "good")
            boxes = sequence.ground_truth_rect + np.array([500.0 * lost, 0, 0, 0])
            (folder / f"{sequence.name}.txt").write_text(format_boxes(boxes))
            if tracker == "good":
                (folder / f"{sequence.name}_time.txt").write_text("0.02\n" * 8)
    return root


@pytest.fixture
def scores(dataset: list[Sequence], results: Path) -> Scores:
    runs = trackerlist("bad", "x", display_name="Bad") + trackerlist("good", "x", display_name="Good")
    return extract_scores(runs, dataset, results)


def test_radar(scores: Scores) -> None:
    figure = draw_attribute_radar(scores)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["FM (2)", "LR (1)", "OCC (1)", "SV (2)"]
    good, bad = axes.lines
    perfect, lost = 100 * 20 / 21, 100 * 20 / 21 / 8
    assert np.allclose(good.get_ydata(), [(perfect + lost) / 2, perfect, perfect, (perfect + lost) / 2, 53.571428])
    assert (good.get_color(), bad.get_color()) == (tracker_style(1)[1], tracker_style(0)[1])
    assert str(good.get_label()).startswith("Good [")
    assert axes.get_ylim() == (0, 100)
    legend = axes.get_legend()
    assert legend is not None
    explained = "FM fast motion, LR low resolution, OCC occlusion, SV scale variation"
    assert legend.get_title().get_text().split() == explained.split()
    assert "protocol pytracking" in figure.texts[0].get_text()


def test_a_radar_needs_three_attributes(scores: Scores) -> None:
    few = dataclasses.replace(scores, attributes=[("OCC",), ("FM",), None, None])
    with pytest.raises(UserError, match="needs three attributes; the sequences of otb have 2"):
        draw_attribute_radar(few)


def test_speed_and_accuracy(scores: Scores) -> None:
    (axes,) = draw_speed_accuracy(scores).axes
    (point,) = axes.lines
    assert np.allclose(point.get_xdata(), 50)
    assert np.allclose(point.get_ydata(), scores.auc[:, 1].mean())
    assert [text.get_text() for text in axes.texts] == ["Good"]
    assert axes.get_title() == "Speed and accuracy on otb (1 without times left out)"
    assert axes.get_xscale() == "log"
    with pytest.raises(UserError, match="no tracker's speed is known"):
        draw_speed_accuracy(dataclasses.replace(scores, seconds=np.full((4, 2), np.nan)))


@pytest.mark.parametrize("fastest", [60, 300, 5_000, 900_000])
def test_numbers_of_speeds_do_not_touch(scores: Scores, fastest: float) -> None:
    """Whether the fastest tracker is as quick as the others, or one that looks at no image."""
    seconds = np.where(np.arange(2) == 0, 1 / fastest, 1 / 20) * np.ones((4, 1))
    figure = draw_speed_accuracy(dataclasses.replace(scores, seconds=seconds))
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    shown = [tick.label1 for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [label.get_window_extent() for label in shown]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_scatter(scores: Scores) -> None:
    (axes,) = draw_scatter(scores, "Good", "Bad").axes
    points = np.asarray(axes.collections[0].get_offsets())
    assert np.allclose(points, scores.auc)
    assert axes.get_title() == "Good better on 3 of 4 sequences of otb"
    assert {text.get_text() for text in axes.texts} == set(ATTRIBUTES)
    with pytest.raises(UserError, match="unknown tracker 'Goof'; did you mean 'Good'"):
        draw_scatter(scores, "Goof", "Bad")


def test_the_table_writes_what_the_results_allow(
    results: Path, tmp_path: Path, dataset: list[Sequence], capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    for sequence in dataset:
        (folder / f"{sequence.name}.txt").write_text(format_boxes(sequence.ground_truth_rect))
    command = ["good/x=Good", "bad/x=Bad", "--dataset", f"mine={folder}", "--results", str(results)]
    assert main([*command, "--against", "Bad", "--published", "--plots", "--output", str(tmp_path / "plots")]) == 0
    files = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert [file for file in files if not file.endswith(("_plot.pdf", "_plot.png"))] == [
        "scatter_0.pdf",
        "scatter_0.png",
        "speed_accuracy.pdf",
        "speed_accuracy.png",
    ]
    assert str(tmp_path / "plots" / "scatter_0.png") in capsys.readouterr().out


HOSTILE = ["_hidden", "$x_1^", "a\x1b[31m\nb", "a very long name of a tracker " * 5]


def test_names_are_shown_letter_by_letter(dataset: list[Sequence], results: Path, tmp_path: Path) -> None:
    runs = [replace(trackerlist("good", "x")[0], display_name=name) for name in HOSTILE]
    named = [replace(item, name=item.name, dataset="$_a" * 40) for item in dataset]
    scores = extract_scores(runs, named, results)
    for figure in (draw_curves(scores, "success"), draw_speed_accuracy(scores), draw_attribute_radar(scores)):
        legend = figure.axes[0].get_legend()
        assert legend is None or len(legend.get_texts()) == 4
        save_figure(figure, tmp_path / "figure")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        inside = figure.bbox.padded(1)
        for text in [figure.axes[0].title, *(legend.get_texts() if legend else [])]:
            box = text.get_window_extent()
            assert inside.x0 <= box.x0 and box.x1 <= inside.x1, text.get_text()


def test_legends_cover_no_curve_and_names_do_not_touch(dataset: list[Sequence], results: Path) -> None:
    runs = [replace(trackerlist("good", "x")[0], display_name=f"tracker {number}") for number in range(6)]
    scores = extract_scores(runs, dataset, results)
    figure = draw_curves(scores, "success")
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0
    # All six have one speed and one AUC.
    figure = draw_speed_accuracy(scores)
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    pairs = [(a, b) for n, a in enumerate(boxes) for b in boxes[:n]]
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for a, b in pairs)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels
    assert all(label.replace(".", "").isdigit() for label in labels), labels


def test_the_same_results_give_the_same_plot(scores: Scores, tmp_path: Path) -> None:
    files = [save_figure(draw_scatter(scores, "Good", "Bad"), tmp_path / name)[1].read_bytes() for name in "ab"]
    assert files[0] == files[1]
