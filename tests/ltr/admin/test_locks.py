"""Lock files: one holder at a time, and stale ones taken over."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ltr.admin.locks import Locks
from ltr.errors import UserError


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "near.lock"


def test_one_holder_at_a_time(lock: Path) -> None:
    first, second = Locks(), Locks()
    assert first.acquire(lock) is None
    assert f"process {os.getpid()} on" in (second.acquire(lock) or "")
    second.release(lock)
    assert lock.exists(), "only its holder gives a lock back"
    first.release_all()
    assert not lock.exists()
    assert second.acquire(lock) is None


def test_of_many_at_once_one_wins(lock: Path) -> None:
    start = threading.Barrier(8)
    answers: list[str | None] = []

    def take() -> None:
        start.wait()
        answers.append(Locks_kept[len(answers)].acquire(lock))

    Locks_kept = [Locks() for _ in range(9)]
    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1


def test_a_lock_of_a_killed_process_and_a_file_that_is_left_hold_nobody_up(lock: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from ltr.admin.locks import Locks\n"
        "locks = Locks(); print(locks.acquire(Path(sys.argv[1])), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "None\n"
    assert f"process {process.pid} on" in (Locks().acquire(lock) or "")
    process.kill()
    process.wait()
    process.stdout.close()
    assert lock.exists()
    locks = Locks()
    assert locks.acquire(lock) is None
    locks.release_all()


def test_no_space_for_a_lock(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"no space left to write .*near\.lock"):
        Locks().acquire(lock)
    assert list(lock.parent.iterdir()) == []
