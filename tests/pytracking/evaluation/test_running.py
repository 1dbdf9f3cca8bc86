"""Running trackers on sequences: results are kept, failures are reported and do not stop the others."""

from __future__ import annotations

import errno
from collections.abc import Sequence as Listing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ltr.admin.locks import Locks
from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError
from pytracking.evaluation import running
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import report_failures, run_dataset, run_sequence
from pytracking.evaluation.tracker import TrackerRun, trackerlist
from pytracking.tracker.base import TrackResult
from pytracking.tracker.static import StaticTracker

STATIC = TrackerRun("static", "default")


@pytest.fixture
def sequences(sequence_root: Path) -> list[Sequence]:
    return get_dataset("folder", path=sequence_root)


def test_results_appear_and_are_kept(sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = [*trackerlist("opencv", "kcf", 1), STATIC]
    assert run_dataset(sequences, runs, tmp_path) == []
    boxes = read_boxes(tmp_path / "opencv" / "kcf_001" / "near.txt")
    assert np.abs(boxes - sequences[1].ground_truth_rect).max() <= 4
    file = tmp_path / "static" / "default" / "group_far.txt"
    before = file.stat().st_mtime_ns
    assert run_dataset(sequences, runs, tmp_path) == []
    assert file.stat().st_mtime_ns == before
    assert "2 complete result(s) kept" in capsys.readouterr().err
    assert run_dataset(sequences, runs, tmp_path, force=True) == []
    assert file.stat().st_mtime_ns != before


def test_the_longest_sequences_come_first_run_by_run(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no task of a Slurm array, which takes what the others have not locked, ends with a long one."""
    far, near = sequences
    far = replace(far, frames=far.frames[:3], ground_truth_rect=far.ground_truth_rect[:3], target_visible=None)
    taken: list[str] = []
    acquire = Locks.acquire

    def note(self: Locks, lock: Path) -> str | None:
        taken.append(f"{lock.parent.name}/{lock.stem}")
        return acquire(self, lock)

    monkeypatch.setattr(Locks, "acquire", note)
    assert run_dataset([far, near], [*trackerlist("opencv", "kcf", 1), STATIC], tmp_path) == []
    assert taken == ["kcf_001/near", "kcf_001/group_far", "default/near", "default/group_far"]


@pytest.mark.parametrize("runs", [[STATIC, STATIC], [TrackerRun("a", "b", 0), TrackerRun("a", "b_000")]])
def test_runs_that_would_share_results_are_refused(
    runs: list[TrackerRun], sequences: list[Sequence], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="two runs would share the results in"):
        run_dataset(sequences, runs, tmp_path)
    assert not list(tmp_path.rglob("*.lock"))


def test_a_half_written_result_is_redone(
    sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run_dataset(sequences, [STATIC], tmp_path)
    file = tmp_path / "static" / "default" / "near.txt"
    whole = file.read_text()
    file.write_text(whole[:40])
    run_dataset(sequences, [STATIC], tmp_path)
    assert file.read_text() == whole
    assert "near is tracked again: its boxes are not those" in capsys.readouterr().err


def test_an_unreadable_frame_fails_one_sequence_only(
    sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sequences[0].frames[3].write_bytes(b"no image")
    (failure,) = run_dataset(sequences, [STATIC], tmp_path)
    report_failures([failure])
    err = capsys.readouterr().err
    assert f"failed: static/default on group_far: frame 4 of 6: {sequences[0].frames[3]}: cannot be decoded" in err
    assert "Traceback" not in err
    assert not (tmp_path / "static" / "default" / "group_far.txt").exists()
    assert (tmp_path / "static" / "default" / "near.txt").exists()


@pytest.mark.parametrize(
    ("box", "message"),
    [((20, 24, 0, 24), "is empty"), ((np.nan, 24, 28, 24), "not finite"), ((200, 24, 28, 24), "lies outside")],
)
def test_a_bad_first_box_names_its_file(sequences: list[Sequence], box: tuple[float, ...], message: str) -> None:
    sequences[0].ground_truth_rect[0] = box
    with pytest.raises(UserError, match=message) as caught:
        run_sequence(StaticTracker(), sequences[0])
    assert str(sequences[0].annotation_path) in str(caught.value)


class Broken(StaticTracker):
    """Fails in the third frame of the first sequence."""

    def __init__(self, box: tuple[float, float, float, float] | None = None) -> None:
        super().__init__()
        self.frames = 0
        self.box = box

    def track(self, image: np.ndarray) -> TrackResult:
        self.frames += 1
        if self.frames == 2:
            if self.box is None:
                raise ZeroDivisionError("deliberate")
            return TrackResult(self.box, 1.0, "normal", 0.0)
        return super().track(image)


def test_a_tracker_that_raises_is_reported_with_its_traceback(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    broken = Broken()
    monkeypatch.setattr(running, "create_tracker", lambda tracker, params: broken)
    (failure,) = run_dataset(sequences, [STATIC], tmp_path)
    report_failures([failure])
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "failed: static/default on group_far: ZeroDivisionError: deliberate" in err
    assert (tmp_path / "static" / "default" / "near.txt").exists()
    monkeypatch.setattr(running, "create_tracker", lambda tracker, params: Broken())
    with pytest.raises(ZeroDivisionError):
        run_dataset(sequences, [STATIC], tmp_path / "debug", debug=True)


def test_a_box_that_is_not_finite_is_a_failure(sequences: list[Sequence]) -> None:
    with pytest.raises(RuntimeError, match="frame 3: the tracker answered a box that is not finite"):
        run_sequence(Broken((1.0, 2.0, float("nan"), 3.0)), sequences[0])


def test_a_full_disk_keeps_the_finished_sequences(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_text

    def full(self: Path, *args: object, **kwargs: object) -> int:
        if self.name.startswith("near.txt"):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"no space left to write .*near\.txt; the finished sequences are kept"):
        run_dataset(sequences, [STATIC], tmp_path)
    monkeypatch.undo()
    folder = tmp_path / "static" / "default"
    assert len(read_boxes(folder / "group_far.txt")) == 6
    assert not (folder / "near.txt").exists()
    assert not list(folder.glob("*tmp*"))
    assert run_dataset(sequences, [STATIC], tmp_path) == []


def test_ctrl_c_keeps_the_finished_sequences(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(StaticTracker):
        def initialize(self, image: np.ndarray, box: Listing[float]) -> TrackResult:
            if (tmp_path / "static" / "default" / "group_far.json").exists():
                raise KeyboardInterrupt
            return super().initialize(image, box)

    monkeypatch.setattr(running, "create_tracker", lambda tracker, params: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run_dataset(sequences, [STATIC], tmp_path)
    names = sorted(file.name for file in (tmp_path / "static" / "default").iterdir())
    assert names == ["group_far.json", "group_far.txt", "group_far_time.txt"]


def test_other_weights_make_a_result_stale(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def create(tracker: str, params: object) -> StaticTracker:
        created = StaticTracker()
        created.weights_sha256 = weights  # type: ignore[attr-defined]
        return created

    monkeypatch.setattr(running, "create_tracker", create)
    monkeypatch.setattr(running, "weights_checksum", lambda params: weights)
    weights = "a" * 64
    run_dataset(sequences, [STATIC], tmp_path)
    weights = "b" * 64
    run_dataset(sequences, [STATIC], tmp_path)
    assert "its weights_sha256 differ" in capsys.readouterr().err


def test_callback_sees_every_frame(sequences: list[Sequence]) -> None:
    seen = []
    result = run_sequence(
        StaticTracker(), sequences[0], lambda number, image, answer: seen.append((number, answer.flag))
    )
    assert seen == [(0, "init"), *((number, "normal") for number in range(1, 6))]
    assert result.boxes.shape == (6, 4)
    assert result.times is not None
    assert result.times.shape == (6,)


def test_a_plan_says_how_long_and_writes_nothing(
    sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_dataset(sequences, [STATIC], tmp_path / "out", plan_only=True) == []
    printed = capsys.readouterr().out
    frames = sum(len(sequence.frames) for sequence in sequences)
    assert f"| static/default | {len(sequences)} | {frames} |" in printed
    assert "expected: " in printed
    assert not (tmp_path / "out").exists()
    run_dataset(sequences, [STATIC], tmp_path / "out")
    run_dataset(sequences, [STATIC], tmp_path / "out", plan_only=True)
    assert "nothing is left to track" in capsys.readouterr().out
