"""Worker processes: the same results as one process, and every fault of a worker or tracker mended or reported."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faulty_trackers
import pytest
from faulty_trackers import FaultyParameters

from ltr.errors import UserError
from pytracking.evaluation import workers as worker_module
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.execution import TrackerSpec, Unit
from pytracking.evaluation.running import Workers, run_dataset
from pytracking.evaluation.tracker import TrackerRun, trackerlist
from pytracking.evaluation.workers import WorkerProcesses, default_threads, describe_exit
from pytracking.tracker.static import StaticParameters

RUN = TrackerRun("static", "default")
TWO = Workers(2, torch_threads=1)
FOLDER = Path("static") / "default"


@pytest.fixture
def sequences(sequence_root: Path) -> list[Sequence]:
    """Two sequences; the first box of 'near' starts at 21, that of 'group_far' at 20."""
    found = get_dataset("folder", path=sequence_root)
    found[1].ground_truth_rect[0, 0] = 21
    return found


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def left(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def complete(*names: str) -> list[str]:
    return sorted(f"{name}{end}" for name in names for end in (".json", ".txt", "_time.txt"))


def boxes(root: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in root.rglob("*.txt")
        if not file.stem.endswith("_time")
    }


def test_random_trackers_answer_the_same_on_any_number_of_workers(
    sequences: list[Sequence], tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters("random", str(notes)))
    runs = trackerlist("static", "default", range(2))
    assert run_dataset(sequences, runs, tmp_path / "one") == []
    assert run_dataset(sequences[::-1], runs, tmp_path / "two", workers=TWO) == []
    one = boxes(tmp_path / "one")
    assert len(one) == 4
    assert len(set(one.values())) == 4, "each sequence of each run draws differently"
    assert boxes(tmp_path / "two") == one
    assert len(left(notes)) <= 3, "one tracker here, and one in each worker, serve all sequences and runs"
    assert left(tmp_path / "two" / "static" / "default_001") == complete("group_far", "near")


def test_a_killed_worker_s_sequence_is_tracked_again(
    sequences: list[Sequence],
    tmp_path: Path,
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters("kill once", str(notes), x=21))
    assert run_dataset(sequences, [RUN], tmp_path, workers=Workers(1)) == []
    assert "near is tracked again: its worker was killed by SIGKILL" in capsys.readouterr().err
    assert left(tmp_path / FOLDER) == complete("group_far", "near")


def test_a_sequence_that_kills_every_worker_is_a_failure_that_names_the_signal(
    sequences: list[Sequence], tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters("kill", str(notes), x=21))
    (failure,) = run_dataset(sequences, [RUN], tmp_path, workers=Workers(1))
    assert failure.sequence == "near"
    assert "was killed by SIGKILL, the last of 3 attempts" in failure.message
    assert 3 <= len(left(notes)) <= 4, "three workers have tried, and one tracked the other sequence"
    assert left(tmp_path / FOLDER) == complete("group_far")


@pytest.mark.parametrize(
    ("fault", "message"),
    [("raise", "ZeroDivisionError: deliberate"), ("nan", "is not finite: (1.0, 2.0, nan")],
)
def test_a_tracker_s_fault_fails_one_sequence_only(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters(fault, x=21))
    (failure,) = run_dataset(sequences, [RUN], tmp_path, workers=Workers(1))
    assert (failure.sequence, failure.run) == ("near", RUN)
    assert message in failure.message
    assert failure.details is not None
    assert "Traceback" in failure.details
    assert left(tmp_path / FOLDER) == complete("group_far")


def test_a_worker_that_ends_by_itself_and_an_unreadable_frame(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences[0].frames[3].write_bytes(b"no image")
    faulty_trackers.use(monkeypatch, FaultyParameters("exit", x=21))
    failures = run_dataset(sequences, [RUN], tmp_path, workers=Workers(1))
    far, near = sorted(failures, key=lambda failure: failure.sequence)
    assert far.message.startswith(f"frame 4 of 6: {sequences[0].frames[3]}: cannot be decoded")
    assert far.details is None
    assert "its worker ended with exit status 7" in near.message
    assert left(tmp_path / FOLDER) == []


def test_a_tracker_that_cannot_be_built_is_one_error(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters("create"))
    with pytest.raises(UserError, match=r"^weights.safetensors is damaged$"):
        run_dataset(sequences, [RUN], tmp_path, workers=TWO)
    faulty_trackers.use(monkeypatch, FaultyParameters("weights"))
    with pytest.raises(UserError, match=r"weights here \(bbbbbbbbbbbb\) are not those that the run started with"):
        run_dataset(sequences, [RUN], tmp_path)
    assert left(tmp_path / FOLDER) == []


def test_missing_weights_are_noticed_before_a_worker_starts(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerProcesses, "submit", lambda *_: pytest.fail("a worker was started"))
    lite = TrackerRun("dimp", "dimp_nceplus_lite")
    gone = tmp_path / "gone.safetensors"
    with pytest.raises(UserError, match=r"gone\.safetensors: no such file"):
        run_dataset(sequences, [lite], tmp_path / "out", workers=TWO, overrides={"net_path": str(gone)})
    with pytest.raises(UserError, match="there is no network 'super_dimp'"):
        run_dataset(sequences, [TrackerRun("dimp", "super_dimp")], tmp_path / "out", workers=TWO)


def test_a_process_that_cannot_start_is_one_error(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "_WORKER", "pytracking.no_such_module")
    with pytest.raises(UserError, match=r"could not start \(exit status 1\)"):
        run_dataset(sequences, [RUN], tmp_path, workers=TWO)
    assert "No module named" in capfd.readouterr().err


def test_a_full_disk_stops_everything(
    sequences: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_text

    def full(self: Path, *args: object, **kwargs: object) -> int:
        if self.name.startswith("near.txt"):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"no space left to write .*near\.txt; the finished sequences are kept"):
        run_dataset(sequences, [RUN], tmp_path, workers=Workers(1))
    monkeypatch.undo()
    assert left(tmp_path / FOLDER) == complete("group_far")
    assert run_dataset(sequences, [RUN], tmp_path) == []


def test_close_leaves_no_process(sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch) -> None:
    from pytracking.evaluation.execution import TrackerSpec, Unit

    faulty_trackers.use(monkeypatch, FaultyParameters())
    backend = WorkerProcesses(2, 1)
    spec = TrackerSpec("static", FaultyParameters(seconds=60.0), None, faulty_trackers.create)
    for number, sequence in enumerate(sequences):
        assert backend.free() == 2 - number
        backend.submit(Unit(number, spec, sequence, 0))
    processes = [process.process for process in backend._processes.values()]
    assert len(processes) == 2
    backend.close()
    assert [process.poll() for process in processes] == [-9, -9]


def test_a_worker_is_told_no_annotation_but_the_first(sequences: list[Sequence]) -> None:
    from pytracking.evaluation.execution import TrackerSpec, Unit

    unit = Unit(0, TrackerSpec("static", None, None), sequences[0], 5)
    sent = unit.to_send().sequence
    assert sent.ground_truth_rect.tolist() == [[20, 24, 28, 24]]
    assert sent.frames == sequences[0].frames
    assert len(sequences[0].ground_truth_rect) == 6


def test_threads_and_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads(2) == 3
    monkeypatch.setattr(worker_module, "available_cores", lambda: 8)
    for no_number in ("²", "9" * 5000, "-1", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", no_number)
        assert default_threads(2) == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [default_threads(count) for count in (1, 3, 16)] == [8, 2, 1]
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(-200) == "was killed by signal 200"
    assert describe_exit(3) == "ended with exit status 3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": -1}, "--threads must be 0"),
        ({"backend": "rey"}, "did you mean 'ray'"),
        ({"torch_threads": 0}, "--torch_threads must be at least 1"),
        ({"gpus_per_worker": 1}, "is for --backend ray"),
        ({"gpus_per_worker": -1, "backend": "ray"}, "must not be negative"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Workers(**options)


def test_debug_and_equal_names_are_refused(sequences: list[Sequence], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run without --backend ray"):
        run_dataset(sequences, [RUN], tmp_path, debug=True, workers=Workers(backend="ray"))
    with pytest.raises(UserError, match="two sequences are called 'near'"):
        run_dataset([sequences[1], sequences[1]], [RUN], tmp_path)


def test_debug_lines_come_from_every_worker(
    sequences: list[Sequence], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert run_dataset(sequences, [RUN], tmp_path, debug=True, workers=TWO) == []
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("worker ")]
    assert len(lines) == sum(len(sequence.frames) for sequence in sequences)
    assert any(line.startswith("worker 1: ") for line in lines)


@pytest.mark.parametrize("workers", [Workers(), Workers(threads=1)])
def test_debug_2_draws_every_frame_in_this_process_and_in_workers(
    sequences: list[Sequence], tmp_path: Path, workers: Workers
) -> None:
    (lite,) = trackerlist("dimp", "dimp_nceplus_lite")
    assert run_dataset(sequences[1:], [lite], tmp_path, debug=2, workers=workers) == []
    folder = tmp_path / "dimp" / "dimp_nceplus_lite_inside" / "near"
    assert sorted(file.name for file in folder.iterdir()) == [f"target0_{number:04d}.png" for number in range(2, 7)]
    with pytest.raises(UserError, match="--debug 2 draws what the trackers dimp and atom do"):
        run_dataset(sequences[1:], [RUN], tmp_path, debug=2, workers=workers)
    with pytest.raises(UserError, match="run without --batch"):
        run_dataset(sequences, [lite], tmp_path, debug=2, workers=replace(workers, batch=2))


def test_workers_take_turns_on_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from pytracking.evaluation.execution import TrackerSpec, Worker

    @dataclass(frozen=True)
    class WithDevice:
        device: str = "auto"

    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for slot in range(5):
        Worker(slot).tracker_of(TrackerSpec("static", WithDevice(), None))
    Worker(4).tracker_of(TrackerSpec("static", StaticParameters(), None))
    Worker(None).tracker_of(TrackerSpec("static", WithDevice(), None))
    assert chosen == [0, 1, 2, 0, 1], "only where the parameters know devices, and only in worker processes"


def test_a_spoiled_worker_is_replaced(
    sequences: list[Sequence], tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    start = WorkerProcesses._start

    def count(self: WorkerProcesses, slot: int) -> object:
        started.append(slot)
        return start(self, slot)

    monkeypatch.setattr(WorkerProcesses, "_start", count)
    faulty_trackers.use(monkeypatch, FaultyParameters("spoil", str(notes), x=20))
    (failure,) = run_dataset(sequences, [RUN], tmp_path, workers=Workers(1))
    assert failure.sequence == "group_far"
    assert failure.message.startswith("RuntimeError: CUDA error, in pretence, the last of 3 attempts")
    assert failure.details is not None and "Traceback" in failure.details
    assert left(tmp_path / FOLDER) == complete("near")
    assert started == [0, 0, 0]


def test_a_worker_that_always_fails_loses_no_sequence_and_is_retired(
    sequence_root: Path, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for copy in range(5):
        shutil.copytree(sequence_root / "near", sequence_root / f"copy{copy}")
    many = get_dataset("folder", path=sequence_root)
    faulty_trackers.use(monkeypatch, FaultyParameters("spoil slot 1", str(notes), seconds=0.05))
    assert run_dataset(many, [RUN], tmp_path, workers=Workers(2)) == []
    assert left(tmp_path / FOLDER) == complete(*[sequence.name for sequence in many])
    said = capsys.readouterr().err
    assert "is tracked again: RuntimeError: CUDA error, in pretence" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_worker_starts_comes_after_it_is_noted_down(
    number: int, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(received: int, frame: object) -> None:
        raise KeyboardInterrupt

    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def interrupted(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args, **kwargs))
        signal.raise_signal(number)
        return started[-1]

    monkeypatch.setattr(worker_module.subprocess, "Popen", interrupted)
    backend = WorkerProcesses(1, 1)
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            backend.submit(Unit(0, TrackerSpec("static", StaticParameters(), None), sequences[0], 0))
    finally:
        signal.signal(number, before)
        backend.close()
    assert [process.poll() for process in started] == [-signal.SIGKILL]
