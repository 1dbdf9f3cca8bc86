"""Raw results on disk: a complete one is used again, a half or stale one is not."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.evaluation import results
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.results import RawResult, describe_run, load_result, read_result, save_result, why_redo
from pytracking.evaluation.tracker import TrackerRun
from pytracking.tracker.opencv import OpenCVParameters

RUN = TrackerRun("opencv", "kcf", 3)


@pytest.fixture
def sequence(sequence_root: Path) -> Sequence:
    return get_dataset("folder", path=sequence_root, sequences=["near"])[0]


def describe(sequence: Sequence, algorithm: str = "KCF", weights: str | None = "aa") -> dict[str, Any]:
    return describe_run(RUN, OpenCVParameters(algorithm), weights, sequence)


@pytest.fixture
def folder(tmp_path: Path, sequence: Sequence) -> Path:
    """A folder with one complete result."""
    folder = RUN.result_folder(tmp_path / "results")
    boxes = sequence.ground_truth_rect + 0.12346
    save_result(folder, RawResult(boxes, np.full(len(boxes), 0.01)), describe(sequence))
    return folder


def test_layout_and_round_trip(folder: Path, sequence: Sequence) -> None:
    assert folder.parts[-2:] == ("opencv", "kcf_003")
    assert sorted(file.name for file in folder.iterdir()) == ["near.json", "near.txt", "near_time.txt"]
    assert (folder / "near.txt").read_text().splitlines()[0] == "20.1235\t24.1235\t28.1235\t24.1235"
    loaded = load_result(folder, sequence)
    assert np.abs(loaded.boxes - sequence.ground_truth_rect - 0.12346).max() < 1e-4
    assert loaded.times is not None
    assert np.allclose(loaded.times, 0.01)
    assert json.loads((folder / "near.json").read_text())["versions"]["numpy"] == np.__version__


def test_a_complete_result_is_kept(folder: Path, sequence: Sequence) -> None:
    assert why_redo(folder, describe(sequence)) is None


def test_no_result_is_no_reason_to_mention(tmp_path: Path, sequence: Sequence) -> None:
    assert why_redo(tmp_path, describe(sequence)) == ""


def cut_in_half(folder: Path) -> None:
    text = (folder / "near.txt").read_text()
    (folder / "near.txt").write_text(text[: len(text) // 2])


def corrupt_manifest(folder: Path) -> None:
    (folder / "near.json").write_text('{"format": 1, "tra')


def drop_manifest(folder: Path) -> None:
    (folder / "near.json").unlink()


def list_manifest(folder: Path) -> None:
    (folder / "near.json").write_text("[]")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_in_half, "boxes are not those"),
        (corrupt_manifest, "not JSON"),
        (list_manifest, "not a JSON object"),
        (drop_manifest, "no manifest"),
    ],
)
def test_a_damaged_result_is_redone(folder: Path, sequence: Sequence, damage: Any, reason: str) -> None:
    damage(folder)
    assert reason in (why_redo(folder, describe(sequence)) or "")


def test_a_stale_result_is_redone_with_the_difference_named(folder: Path, sequence: Sequence) -> None:
    reason = why_redo(folder, describe(sequence, algorithm="CSRT"))
    assert reason == "its parameters differ: algorithm was 'KCF', is 'CSRT'"
    assert "weights_sha256" in (why_redo(folder, describe(sequence, weights="bb")) or "")
    sequence.ground_truth_rect[0, 0] += 1
    assert "first_box" in (why_redo(folder, describe(sequence)) or "")
    sequence.frames.pop()
    changed = {**describe(sequence), "first_box": json.loads((folder / "near.json").read_text())["first_box"]}
    assert why_redo(folder, changed) == "its num_frames differ: was 6, is 5"


@pytest.mark.parametrize("damage", [cut_in_half, corrupt_manifest, list_manifest])
def test_a_damaged_result_is_not_evaluated(folder: Path, sequence: Sequence, damage: Any) -> None:
    damage(folder)
    with pytest.raises(UserError, match="near"):
        load_result(folder, sequence)


def test_results_of_other_programs_are_read(tmp_path: Path, sequence: Sequence) -> None:
    (tmp_path / "near.txt").write_text("1,2,3,4\n5,6,7,8\n")
    loaded = load_result(tmp_path, sequence)
    assert loaded.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert loaded.times is None


def test_a_run_killed_while_writing_leaves_nothing_that_counts(
    folder: Path, sequence: Sequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, content: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        save_result(folder, RawResult(sequence.ground_truth_rect, None), describe(sequence))
    assert "boxes are not those" in (why_redo(folder, describe(sequence)) or "")


def test_a_full_disk_leaves_the_earlier_result_as_it_was(
    folder: Path, sequence: Sequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(results, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        save_result(folder, RawResult(sequence.ground_truth_rect, None), describe(sequence))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert why_redo(folder, describe(sequence)) is None


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a\nb", "..", "", "x" * 201, "\udcff"])
def test_names_that_could_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    result = RawResult(np.ones((2, 4)), None)
    with pytest.raises(UserError, match=r"sequence|name"):
        save_result(tmp_path / "a" / "b", result, {"sequence": name})
    with pytest.raises(UserError, match=r"tracker|name"):
        TrackerRun(name, "default")
    with pytest.raises(UserError, match=r"parameter|name"):
        TrackerRun("dimp", name)
    assert not list(tmp_path.iterdir())


def test_a_result_as_a_table(tmp_path: Path) -> None:
    boxes, times = np.arange(12.0).reshape(3, 4), np.array([0.5, 0.25, 0.125])
    result = RawResult(boxes, times, np.array([1.0, 0.75, -0.5]), ["init", "normal", "not_found"])
    save_result(tmp_path, result, {"sequence": "mine"})
    frame = read_result(tmp_path / "mine.txt")
    assert list(frame) == ["frame", "x", "y", "w", "h", "score", "flag", "time"]
    assert frame["frame"].tolist() == [1, 2, 3]
    assert np.allclose(frame[["x", "y", "w", "h"]], boxes)
    assert frame["score"].tolist() == [1.0, 0.75, -0.5]
    assert frame["flag"].tolist() == ["init", "normal", "not_found"]
    assert frame["time"].tolist() == times.tolist()
    (tmp_path / "foreign.txt").write_text("1,2,3,4\n5,6,7,8\n")
    bare = read_result(tmp_path / "foreign.txt")
    assert bare[["score", "time"]].isna().all(axis=None)
    assert bare["flag"].tolist() == ["", ""]


@pytest.mark.parametrize("kept", [1, 99])
@pytest.mark.parametrize("what", ["times", "scores", "flags"])
def test_a_result_whose_files_disagree_is_refused(folder: Path, sequence: Sequence, what: str, kept: int) -> None:
    count = len(sequence.ground_truth_rect)
    parts: dict[str, Any] = {"times": np.zeros(count), "scores": np.zeros(count), "flags": ["normal"] * count}
    parts[what] = parts[what][:1].repeat(kept) if what != "flags" else parts[what][:1] * kept
    save_result(folder, RawResult(sequence.ground_truth_rect, **parts), describe(sequence))
    file = "near_time.txt" if what == "times" else "near.json"
    for read in (lambda: load_result(folder, sequence), lambda: read_result(folder / "near.txt")):
        with pytest.raises(UserError, match=rf"{file}: .*{kept} {what}.* for {count} boxes"):
            read()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scores": "high"}, "not two lists"),
        ({"flags": 3}, "not two lists"),
        ({"scores": None}, "not two lists"),
        ({"scores": ["high", "low"]}, "a score that is not a number"),
        ({"scores": [True, False]}, "a score that is not a number"),
    ],
)
def test_recorded_scores_of_another_type_are_refused(
    folder: Path, sequence: Sequence, changed: dict[str, Any], said: str
) -> None:
    count = len(sequence.ground_truth_rect)
    result = RawResult(sequence.ground_truth_rect, np.zeros(count), np.zeros(count), ["normal"] * count)
    save_result(folder, result, describe(sequence))
    file = folder / "near.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    for read in (lambda: load_result(folder, sequence), lambda: read_result(folder / "near.txt")):
        with pytest.raises(UserError, match=rf"near.json: .*{said}"):
            read()


def test_boxes_that_their_manifest_does_not_describe_are_refused(folder: Path, sequence: Sequence) -> None:
    count = len(sequence.ground_truth_rect)
    result = RawResult(sequence.ground_truth_rect, np.zeros(count), np.zeros(count), ["normal"] * count)
    save_result(folder, result, describe(sequence))
    (folder / "near.txt").write_text("1,2,3,4\n" * count)
    for read in (lambda: load_result(folder, sequence), lambda: read_result(folder / "near.txt")):
        with pytest.raises(UserError, match=r"near.txt: changed .* since near.json"):
            read()


def test_a_table_of_a_video(tmp_path: Path) -> None:
    table = tmp_path / "clip.csv"
    head = "frame,seconds,id,x,y,w,h,score,flag,time\n"
    table.write_text(f"{head}1,0.0,1,1,2,3,4,1,init,0.1\n2,0.5,1,1,2,3,4,nan,not_found,0.1\n")
    (tmp_path / "clip.txt").write_text("1\t2\t3\t4\n1\t2\t3\t4\n")
    for name in ("clip.csv", "clip.txt"):
        frame = read_result(tmp_path / name)
        assert frame["flag"].tolist() == ["init", "not_found"]
        assert frame["score"].isna().tolist() == [False, True]
    wrong = {"": "not a table", "a,b\n1,2\n": "columns frame", f"{head}1,0,1,x,2,3,4,1,a,1\n": "number"}
    for content, message in wrong.items():
        table.write_text(content)
        with pytest.raises(UserError, match=message):
            read_result(table)
    with pytest.raises(UserError, match="none"):
        read_result(tmp_path / "none.txt")
