"""Two runs at once on the same results, and what stays behind a run that is stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ltr.admin.locks import Locks
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.results import load_result
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import TrackerRun

STATIC = TrackerRun("static", "default")


@pytest.fixture
def sequences(sequence_root: Path) -> list[Sequence]:
    return get_dataset("folder", path=sequence_root)


def test_a_sequence_of_another_run_is_left_out_and_said(
    sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "static" / "default"
    other = Locks()
    other.acquire(folder / "group_far.lock")
    assert run_dataset(sequences, [STATIC], tmp_path) == []
    err = capsys.readouterr().err
    assert f"left out: static/default on group_far, which process {os.getpid()} on" in err
    assert "1 sequence(s) left to another run" in err
    assert not (folder / "group_far.txt").exists()
    assert (folder / "near.txt").exists()
    other.release_all()
    assert run_dataset(sequences, [STATIC], tmp_path) == []
    assert (folder / "group_far.txt").exists()
    assert not list(folder.glob("*.lock"))


def test_waiting_for_another_run(
    sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "static" / "default"
    other = Locks()
    other.acquire(folder / "group_far.lock")
    monkeypatch.setattr(time, "sleep", lambda seconds: other.release_all())
    assert run_dataset(sequences, [STATIC], tmp_path, wait=True) == []
    assert (folder / "group_far.txt").exists()
    assert "left out" not in capsys.readouterr().err


def test_what_another_run_finishes_meanwhile_is_not_tracked_again(
    sequences: list[Sequence], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, acquired = Locks.acquire, []

    def acquire(self: Locks, path: Path) -> str | None:
        acquired.append(path.name)
        if len(acquired) == 1:
            run_dataset(sequences, [STATIC], tmp_path)
        return real(self, path)

    monkeypatch.setattr(Locks, "acquire", acquire)
    assert run_dataset(sequences, [STATIC], tmp_path) == []
    assert "2 sequence(s) were finished by another run meanwhile" in capsys.readouterr().err


def test_two_commands_at_once_share_the_sequences(sequences: list[Sequence], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytracking", "run", "opencv", "kcf", "--results", str(tmp_path), "--wait"]
    command += ["--sequence", "mug", "ball", "juggler"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    folder = tmp_path / "opencv" / "kcf"
    for sequence in get_dataset("demo", sequences=["mug", "ball", "juggler"]):
        assert len(load_result(folder, sequence).boxes) == len(sequence.frames)
    assert sorted({file.suffix for file in folder.iterdir()}) == [".json", ".txt"]


def start_slow_command(results: Path) -> subprocess.Popen[str]:
    """A command with two workers at work, in a process group of its own."""
    command = [sys.executable, "-m", "pytracking", "run", "opencv", "csrt", "--threads", "2", "--results", str(results)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(group_of(process)) < 3 or len(list(results.rglob("*.lock"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    return process


def group_of(process: subprocess.Popen[str]) -> list[str]:
    """The processes of a process group that run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[2] == str(process.pid) and fields[0] != "Z":
            found.append(file.parent.name)
    return found


@pytest.mark.parametrize("how", ["ctrl-c", "interrupt of the parent", "terminate"])
def test_stopping_leaves_nothing_behind(tmp_path: Path, how: str) -> None:
    process = start_slow_command(tmp_path)
    if how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM if how == "terminate" else signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 5 sequences are done and kept; the same command goes on with the rest" in err
    assert "Traceback" not in err
    assert group_of(process) == []
    assert [file for file in tmp_path.rglob("*") if file.suffix not in ("", ".json", ".txt")] == []


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = start_slow_command(tmp_path)
    process.kill()
    process.communicate()
    until = time.monotonic() + 60
    while group_of(process) and time.monotonic() < until:
        time.sleep(0.05)
    assert group_of(process) == []
    locks = list(tmp_path.rglob("*.lock"))
    assert locks
    assert [Locks().acquire(lock) for lock in locks] == [None] * len(locks), "its locks are stale"
