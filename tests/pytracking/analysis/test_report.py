"""The HTML report: its numbers, its safety against names, its size, and the errors of its command line."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltr.dataset.boxfile import format_boxes
from ltr.errors import UserError, exit_status
from pytracking import get_dataset, trackerlist
from pytracking.analysis.annotations import find_sequences
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.plot_results import plot_results
from pytracking.analysis.report.data import report_data
from pytracking.analysis.report.frames import choose_clips, clip_tracks, embed_clips
from pytracking.analysis.report.html import first_runs, write_report
from pytracking.run_report import main

SHIFTS = {"good_000": 0, "good_001": 4, "other": 9}
HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture
def results(sequence_root: Path, tmp_path: Path) -> Path:
    """Three runs, each shifted by some pixels, on the sequences 'near' and 'group_far'."""
    for sequence in get_dataset("folder", path=sequence_root):
        for parameter, shift in SHIFTS.items():
            file = tmp_path / "results" / "t" / parameter / f"{sequence.name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(format_boxes(sequence.ground_truth_rect + np.array([shift, 0, 0, 0])))
    return tmp_path / "results"


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """The array that `report.data.pack` made into JSON, as float32."""
    return np.frombuffer(base64.b64decode(packed["float32"]), "<f4").reshape(packed["shape"])


def blocks(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def report(path: Path, root: Path, results: Path, *options: str) -> dict[str, Any]:
    arguments = ["t/good:0,1=Good", "t/other=Other", "--dataset_name", "folder", "--dataset_path", str(root)]
    assert main([*arguments, "--results", str(results), "--html", str(path), *options]) == 0
    return blocks(path.read_text())


def test_the_numbers_are_those_of_the_scores(sequence_root: Path, results: Path, tmp_path: Path) -> None:
    content = report(tmp_path / "r.html", sequence_root, results, "--merge_results")
    runs = trackerlist("t", "good", (0, 1), "Good") + trackerlist("t", "other", None, "Other")
    scores = extract_scores(runs, get_dataset("folder", path=sequence_root), results, merge_results=True)
    data = content["data"]
    for title, values in scores.metrics.items():
        assert np.allclose(unpack(data["metrics"][title]), values)
        assert np.allclose(data["subsets"][0]["metrics"][title], scores.mean(values))
    for plot in data["plots"]:
        assert np.allclose(unpack(plot["values"]), scores.curves(plot["key"]).values)
    assert [tracker["name"] for tracker in data["trackers"]] == ["Good", "Other"]
    assert data["subsets"][0]["deviation"] == [pytest.approx(scores.spread()[0]), None]
    difference = data["subsets"][0]["differences"]
    assert difference[0] is None
    assert difference[1]["mean"] == pytest.approx(scores.mean(scores.headline)[1] - scores.mean(scores.headline)[0])
    assert "95.24" in data["protocol"]["rule"]
    assert len(content["frames-0"]["frames"]) == data["clips"][0]["shown"] == 6
    # Of merged runs the first is played.
    assert np.allclose(unpack(content["tracks-0"]["overlap"])[0], 1)
    assert first_runs(runs, scores) == [runs[0], runs[2]]


def test_names_cannot_become_markup(sequence_root: Path, results: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    runs = trackerlist("t", "other", None, HOSTILE)
    sequences = get_dataset("folder", path=sequence_root)
    write_report(path, extract_scores(runs, sequences, results), runs, sequences, results)
    page = path.read_text()
    assert "alert(1)</script>" not in page
    assert "<script>alert" not in page
    assert blocks(page)["data"]["trackers"][0]["name"] == HOSTILE
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in page
    assert "innerHTML" not in page
    assert not re.findall(r"(?:src|href)=[\"']?(?!#|data:)\w", page)


def test_the_file_stays_below_its_size(sequence_root: Path, results: Path, tmp_path: Path) -> None:
    whole, thin = tmp_path / "whole.html", tmp_path / "thin.html"
    report(whole, sequence_root, results, "--play", "all")
    limit = whole.stat().st_size * 0.87 / 1e6
    content = report(thin, sequence_root, results, "--play", "all", "--max-megabytes", str(limit))
    assert thin.stat().st_size <= limit * 1e6
    assert all(clip["stride"] > 1 for clip in content["data"]["clips"])
    sequences = get_dataset("folder", path=sequence_root)
    with pytest.raises(UserError, match="too few"):
        embed_clips(sequences, 360, 100)
    assert embed_clips(sequences[:1], 36, 10**6)[0].size == (96, 72)


def test_without_frames_there_is_no_playback(sequence_root: Path, results: Path, tmp_path: Path) -> None:
    runs = trackerlist("t", "other")
    sequences = get_dataset("folder", path=sequence_root)
    scores = extract_scores(runs, sequences, results)
    for sequence in sequences:
        sequence.frames[-1].unlink()
    assert choose_clips(scores, sequences, []) == ([], choose_clips(scores, sequences, ["all"])[1])
    assert "not on disk" in choose_clips(scores, sequences, [])[1]
    assert choose_clips(scores, sequences, ["none"]) == ([], "")
    with pytest.raises(UserError, match="cannot be played"):
        choose_clips(scores, sequences, ["near"])
    with pytest.raises(UserError, match=r"sequence to play.*near"):
        choose_clips(scores, sequences, ["neer"])
    write_report(tmp_path / "r.html", scores, runs, sequences, results)
    data = blocks((tmp_path / "r.html").read_text())["data"]
    assert data["clips"] == []
    assert "2 of 2 sequences" in data["page"]["playback"]


def broken_annotation(root: Path, tmp_path: Path) -> list[str]:
    (root / "near" / "groundtruth_rect.txt").write_text("1,2,x\n" * 6)
    return []


def only_a_first_box(root: Path, tmp_path: Path) -> list[str]:
    (root / "near" / "groundtruth_rect.txt").write_text("20,24,28,24\n")
    return []


def broken_first_frame(root: Path, tmp_path: Path) -> list[str]:
    (root / "near" / "img" / "0001.png").write_bytes(b"no image")
    return ["--protocol", "got10k"]


def broken_text(root: Path, tmp_path: Path) -> list[str]:
    for name in ("near", "group_far"):
        file = root / name.replace("_", "/") / "groundtruth_rect.txt"
        (tmp_path / f"{name}.txt").write_text(file.read_text())
    (tmp_path / "near.txt").write_text("1,2,3\n")
    return ["--dataset_name", "nfs_copy", "--dataset_path", str(tmp_path)]


def broken_json(root: Path, tmp_path: Path) -> list[str]:
    boxes = np.loadtxt(root / "near" / "groundtruth_rect.txt", delimiter=",").tolist()
    content = {"group_far": {"gt_rect": boxes}, "near": {"gt_rect": [1]}}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return ["--dataset_path", str(tmp_path / "boxes.json")]


@pytest.mark.parametrize(
    "harm",
    [broken_annotation, only_a_first_box, broken_first_frame, broken_text, broken_json],
    ids=lambda harm: harm.__name__,
)
def test_a_sequence_that_cannot_be_read_is_left_out(
    harm: Callable[[Path, Path], list[str]],
    sequence_root: Path,
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    command = ["t/other", "--dataset_name", "folder", "--dataset_path", str(sequence_root), "--results", str(results)]
    options = harm(sequence_root, tmp_path)
    if "--dataset_name" in options:
        command = ["t/other", "--results", str(results)]
    assert exit_status(lambda: main([*command, "--table", "--csv", str(tmp_path / "s.csv"), *options])) == 1
    out, err = capsys.readouterr()
    assert "(1 sequence)" in out
    assert "note: 1 of 2 sequences left out, as they cannot be read: near" in out
    warning, failed, count = err.splitlines()
    assert warning.startswith("warning: near is left out: ") and failed.startswith("failed: near: ")
    assert count == "1 sequence(s) cannot be read; the others are scored"
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 2
    assert exit_status(lambda: main([*command, "--table", *options, "--sequence", "near"])) == 2
    assert "near" in capsys.readouterr().err


def test_a_sequence_with_a_broken_frame_is_scored_and_not_played(
    sequence_root: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (sequence_root / "near" / "img" / "0004.png").write_bytes(b"no image")
    command = ["t/other", "--dataset_name", "folder", "--dataset_path", str(sequence_root), "--results", str(results)]
    for play in ([], ["--play", "all"]):
        assert exit_status(lambda: main([*command, "--html", str(tmp_path / "r.html"), *play])) == 1  # noqa: B023
        content = blocks((tmp_path / "r.html").read_text())
        assert [clip["sequence"] for clip in content["data"]["clips"]] == ["group_far"]
        assert len(content["data"]["sequences"]) == 2 and "tracks-1" not in content
        assert content["data"]["page"]["playback"] == "frames cannot be read: near"
        assert "(scored, but not played)" in capsys.readouterr().err


def test_names_of_folders_cannot_lead_elsewhere(sequence_root: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps({"near": {"gt_rect": [[1, 2, 3, 4]] * 6}}))
    command = ["t/other", "--results", str(results), "--plots"]
    with pytest.raises(UserError, match="would lead to another folder"):
        main([*command, "--dataset_name", f"../x={tmp_path / 'boxes.json'}"])
    runs, dataset = trackerlist("t", "other"), get_dataset("folder", path=sequence_root)
    with pytest.raises(UserError, match=r"the report .* would lead to another folder"):
        plot_results(runs, dataset, "../x", results=results, plot_path=tmp_path)


def test_against_takes_the_name_and_the_label(
    sequence_root: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["t/good:0,1=Good", "t/other=Other", "--dataset_name", "folder", "--dataset_path", str(sequence_root)]
    command += ["--results", str(results), "--output", str(tmp_path / "out"), "--table", "--plots", "--html"]
    printed = []
    for against in ("Good", "t/good"):
        assert exit_status(lambda: main([*command, "--merge_results", "--against", against])) == 0  # noqa: B023
        printed.append(capsys.readouterr().out)
        assert blocks((tmp_path / "out" / "report.html").read_text())["data"]["base"] == 0
    assert printed[0] == printed[1] and "AUC against Good" in printed[0] and "scatter_1" in printed[0]
    assert exit_status(lambda: main([*command, "--against", "t/good"])) == 2
    assert "'t/good' has several runs: Good, Good (001)" in capsys.readouterr().err


def test_absent_frames_are_gaps(sequence_root: Path, results: Path) -> None:
    sequence = get_dataset("folder", path=sequence_root, sequences=["near"])[0]
    sequence.ground_truth_rect[2] = np.nan
    tracks = clip_tracks(sequence, trackerlist("t", "good", 0), results)
    assert np.isnan(unpack(tracks["overlap"])[0]).tolist() == [False, False, True, False, False, False]
    assert np.isnan(unpack(tracks["annotation"])[2]).all()


def test_errors_say_what_to_do(sequence_root: Path, results: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    with pytest.raises(UserError, match="at least 16"):
        report(path, sequence_root, results, "--frame-height", "1")
    with pytest.raises(UserError, match="above 0"):
        report(path, sequence_root, results, "--max-megabytes", "0")
    with pytest.raises(UserError, match="numbers and boxes alone"):
        report(path, sequence_root, results, "--max-megabytes", "0.001")
    with pytest.raises(UserError, match=r"tracker.*Good"):
        report(path, sequence_root, results, "--against", "Goood", "--merge_results")
    assert not path.exists()


def test_annotations_alone_make_sequences(tmp_path: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"a": {"gt_rect": [[1, 2, 3, 4]] * 3}, "b": {"gt_rect": [[1, 2, 3, 4]] * 2}}))
    assert [sequence.name for sequence in find_sequences("folder", file, ["b"]).sequences] == ["b"]
    with pytest.raises(UserError, match="sequence of"):
        find_sequences("folder", file, ["c"])


def test_subsets_follow_attributes(sequence_root: Path, results: Path) -> None:
    scores = extract_scores(trackerlist("t", "other"), get_dataset("folder", path=sequence_root), results)
    scores.attributes[:] = [("OCC",), ("FM", "OCC")]
    found = report_data(scores)["subsets"]
    assert [(item["name"], item["rows"]) for item in found] == [("", [0, 1]), ("FM", [1]), ("OCC", [0, 1])]
    assert [item["title"] for item in found] == ["", "FM fast motion", "OCC occlusion"]
