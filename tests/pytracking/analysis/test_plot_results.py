"""From results on disk to tables and plots, with the calls that a PyTracking user knows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltr.dataset.boxfile import format_boxes
from ltr.errors import UserError
from pytracking import get_dataset, trackerlist
from pytracking.analysis import plots
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.plot_results import plot_results, print_per_sequence_results, print_results
from pytracking.analysis.tables import format_table, per_sequence_table, results_table
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.tracker import TrackerRun


def write(folder: Path, name: str, boxes: np.ndarray, seconds: float | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(format_boxes(boxes))
    if seconds is not None:
        (folder / f"{name}_time.txt").write_text(f"{seconds}\n" * len(boxes))


@pytest.fixture
def dataset(sequence_root: Path) -> list[Sequence]:
    return get_dataset("folder", path=sequence_root)


@pytest.fixture
def results(tmp_path: Path, dataset: list[Sequence]) -> Path:
    """'good' is perfect; 'bad' has two runs, perfect on the first sequence and lost on the second in run 1."""
    root = tmp_path / "results"
    for sequence in dataset:
        write(root / "a" / "good", sequence.name, sequence.ground_truth_rect, 0.1)
        lost = sequence.ground_truth_rect + np.array([1000, 0, 0, 0])
        write(root / "b" / "bad_000", sequence.name, lost)
        write(root / "b" / "bad_001", sequence.name, lost if sequence.name == "near" else sequence.ground_truth_rect)
    return root


TRACKERS = trackerlist("b", "bad", range(2)) + trackerlist("a", "good", display_name="Good")


def test_scores(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset, results)
    assert scores.trackers == ["b/bad_000", "b/bad_001", "Good"]
    assert scores.sequences == ["group_far", "near"]
    lost, perfect = 100 * 20 / 21 / 6, 100 * 20 / 21
    assert np.allclose(scores.auc, [[lost, perfect, perfect], [lost, lost, perfect]])
    assert np.allclose(scores.overlap_precision(0.5)[:, 2], 100)
    assert np.allclose(scores.fps, [np.nan, np.nan, 10], equal_nan=True)
    assert scores.notes == []
    with pytest.raises(ValueError, match="no overlap threshold"):
        scores.overlap_precision(0.51)


def test_runs_are_averaged(dataset: list[Sequence], results: Path) -> None:
    single = extract_scores(TRACKERS, dataset, results)
    merged = extract_scores(TRACKERS, dataset, results, merge_results=True)
    assert merged.trackers == ["b/bad", "Good"]
    assert np.allclose(merged.auc[:, 0], single.auc[:, :2].mean(axis=1))


def test_shared_display_names_are_told_apart(dataset: list[Sequence], results: Path) -> None:
    runs = trackerlist("b", "bad", (0, 1), "Bad")
    assert extract_scores(runs, dataset, results).trackers == ["Bad", "Bad (001)"]
    assert extract_scores(runs, dataset, results, merge_results=True).trackers == ["Bad"]
    with pytest.raises(UserError, match="different display names"):
        extract_scores([*runs, runs[1]], dataset, results)


def test_missing_results(dataset: list[Sequence], results: Path) -> None:
    (results / "a" / "good" / "near.txt").unlink()
    with pytest.raises(UserError, match=r"good.near\.txt: no result on 'near'; run the tracker first"):
        extract_scores(TRACKERS, dataset, results)
    scores = extract_scores(TRACKERS, dataset, results, skip_missing_seq=True)
    assert scores.sequences == ["group_far"]
    assert scores.notes == ["1 of 2 sequences left out, as they have no result: near"]
    with pytest.raises(UserError, match=r"no/one has no results in .*; make them by `run_tracker\.py no one "):
        extract_scores([TrackerRun("no", "one")], dataset, results, skip_missing_seq=True)
    (results / "a" / "good" / "group_far.txt").unlink()
    with pytest.raises(UserError, match="and 1 more sequences"):
        extract_scores(TRACKERS, dataset, results, skip_missing_seq=True)
    with pytest.raises(UserError, match="no trackers"):
        extract_scores([], dataset, results)


def test_a_long_list_of_missing_results_is_cut(dataset: list[Sequence], results: Path) -> None:
    more = [dataclasses.replace(dataset[0], name=f"more_{number}") for number in range(50)]
    scores = extract_scores(TRACKERS, [*dataset, *more], results, skip_missing_seq=True)
    wanted = "50 of 52 sequences left out, as they have no result: more_0, more_1, more_2 and 47 more"
    assert wanted in scores.notes


def test_a_short_foreign_result_is_noted_and_a_damaged_one_refused(dataset: list[Sequence], results: Path) -> None:
    file = results / "a" / "good" / "near.txt"
    file.with_name("near_time.txt").unlink()
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:4]))
    assert extract_scores(TRACKERS, dataset, results).notes == ["Good on near: 4 boxes for 6 frames"]
    file.write_text("\n".join(lines[:4])[:-3].rpartition("\t")[0])
    with pytest.raises(UserError, match=r"near\.txt, line 4: expected 4 numbers, found 3"):
        extract_scores(TRACKERS, dataset, results)


def test_what_a_protocol_refuses_is_named_with_its_file(dataset: list[Sequence], results: Path) -> None:
    file = results / "a" / "good" / "near.txt"
    file.with_name("near_time.txt").unlink()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
    lasot = [dataclasses.replace(sequence, dataset="lasot") for sequence in dataset]
    with pytest.raises(UserError, match=r"near\.txt: the result has 4 boxes for 6 frames, which lasot does not allow"):
        extract_scores(TRACKERS, lasot, results)


def test_sequences_with_one_annotated_frame_have_no_score(sequence_root: Path, results: Path) -> None:
    (sequence_root / "near" / "groundtruth_rect.txt").write_text("20,24,28,24\n")
    near = get_dataset("folder", path=sequence_root, sequences=["near"])
    with pytest.raises(UserError, match="only the first box is known"):
        extract_scores(TRACKERS, near, results)


def test_tables(dataset: list[Sequence], results: Path, capsys: pytest.CaptureFixture) -> None:
    print_results(TRACKERS, dataset, "the title", results=results)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "the title"
    assert lines[2].split() == [
        "folder",
        "(2",
        "sequences)",
        "AUC",
        "OP50",
        "OP75",
        "Precision",
        "Norm.",
        "precision",
        "FPS",
    ]
    assert [line.split()[0] for line in lines[4:7]] == ["Good", "b/bad_001", "b/bad_000"]
    assert lines[4].split()[1:] == ["95.2", "100.0", "100.0", "100.0", "100.0", "10.0"]
    assert lines[6].split()[-1] == "-"
    assert lines[7].startswith("protocol pytracking: ")
    assert len({len(line) for line in lines[4:7]}) == 1

    print_results(TRACKERS, dataset, "one figure", False, ("prec",), results=results)
    assert capsys.readouterr().out.splitlines()[2].split() == ["folder", "(2", "sequences)", "Precision", "FPS"]

    print_per_sequence_results(TRACKERS, dataset, "each", results=results, markdown=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| AUC on folder | frames | Good | b/bad_001 | b/bad_000 |"
    assert lines[3] == "| ------------- | -----: | ---: | --------: | --------: |"
    assert lines[5].split("|")[1:5] == [" near          ", "      6 ", " 95.2 ", "      15.9 "]
    assert lines[6].startswith("| mean")
    assert lines[7] == ""


@pytest.mark.parametrize(
    ("mode", "threshold", "shown"),
    [
        ("ao_min", 50, ["group_far", "near"]),
        ("ao_min", 10, []),
        ("ao_max", 99, []),
        ("ao_max", 101, ["group_far", "near"]),
        ("delta_ao", 80, ["group_far", "near"]),
        ("delta_ao", 99, []),
    ],
)
def test_filters(
    dataset: list[Sequence],
    results: Path,
    capsys: pytest.CaptureFixture,
    mode: str,
    threshold: float,
    shown: list[str],
) -> None:
    criteria: dict[str, float | str] = {"mode": mode, "threshold": threshold}
    print_per_sequence_results(TRACKERS, dataset, "each", filter_criteria=criteria, results=results)
    out = capsys.readouterr().out
    assert [name for name in ("group_far", "near") if f"\n{name} " in out] == shown


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"mode": "ao_mean", "threshold": 1}, "unknown filter mode 'ao_mean'"),
        ({"mode": "ao_min"}, "number 'threshold'"),
        ({"mode": "ao_min", "treshold": 1}, "did you mean 'threshold'"),
    ],
)
def test_bad_filters(dataset: list[Sequence], results: Path, criteria: dict[str, float | str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        print_per_sequence_results(TRACKERS, dataset, "each", filter_criteria=criteria, results=results)


def test_plots(dataset: list[Sequence], results: Path, tmp_path: Path) -> None:
    files = plot_results(
        TRACKERS, dataset, "report", plot_types=("success", "prec", "norm_prec"), results=results, plot_path=tmp_path
    )
    assert [file.name for file in files] == [
        f"{kind}_plot.{suffix}" for kind in ("success", "prec", "norm_prec") for suffix in ("png", "pdf")
    ]
    assert all(file.parent == tmp_path / "report" for file in files)
    image = cv2.imread(str(files[0]))
    assert image is not None
    assert image.shape[0] > 600
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10
    assert files[1].read_bytes().startswith(b"%PDF")
    first = files[1].read_bytes()
    plot_results(TRACKERS, dataset, "report", plot_types="success", results=results, plot_path=tmp_path)
    assert files[1].read_bytes() == first, "the same results give the same file"
    with pytest.raises(UserError, match="unknown plot type 'sucess'; did you mean 'success'"):
        print_results(TRACKERS, dataset, "report", plot_types="sucess", results=results)
    with pytest.raises(UserError, match="unknown plot type 'sucess'; did you mean 'success'"):
        plot_results(TRACKERS, dataset, "report", plot_types=("sucess",), results=results, plot_path=tmp_path)


def test_the_legend_is_sorted_and_colours_stay(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset, results)
    axes = plots.draw_curves(scores, "success").axes[0]
    assert [line.get_label() for line in axes.lines] == ["Good [95.2]", "b/bad_001 [55.6]", "b/bad_000 [15.9]"]
    assert [line.get_color() for line in axes.lines] == [plots.COLOURS[k] for k in (2, 1, 0)]
    texts = " ".join(text.get_text() for text in plots.draw_curves(scores, "success").texts)
    assert "protocol pytracking" in texts
    assert "95.24" in texts


def test_excluding_invalid_frames_is_said(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset, results, exclude_invalid_frames=True)
    assert "frames without a valid annotation are left out" in results_table(scores)
    assert "left out" in " ".join(text.get_text() for text in plots.draw_curves(scores, "prec").texts)


def test_one_sequence_is_not_plural(dataset: list[Sequence], results: Path) -> None:
    scores = extract_scores(TRACKERS, dataset[:1], results)
    assert "(1 sequence)" in results_table(scores)
    assert plots.draw_curves(scores, "success").axes[0].get_title() == "Success on folder, 1 sequence"
    nothing_shown = per_sequence_table(scores, np.zeros(1, bool)).splitlines()
    assert nothing_shown[2].startswith("protocol")


def test_format_table_aligns() -> None:
    assert format_table(["a", "b"], [["long", "1"]]) == "a     b\n-------\nlong  1"


def test_trackerlist_matches_the_result_layout() -> None:
    (run,) = trackerlist("dimp", "dimp50", 7)
    assert run.result_folder(Path("r")) == Path("r/dimp/dimp50_007")
    assert run.label == "dimp/dimp50_007"
    (plain,) = trackerlist("dimp", "dimp50", display_name="DiMP")
    assert plain.result_folder(Path("r")) == Path("r/dimp/dimp50")
    assert plain.label == "DiMP"
