"""Lock files beside results, so that two runs at once do not track a sequence twice or train in one folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import filelock

from ltr.errors import disk_full, is_disk_full


class Locks:
    """The locks that this run holds, a file each.

    A lock is the operating system's: it ends with its process, however that ends, and holds between machines where the
    shared file system knows locks (NFS 4 does). The file says who holds it.
    """

    def __init__(self) -> None:
        self._held: dict[Path, filelock.BaseFileLock] = {}

    def acquire(self, path: Path) -> str | None:
        """Take a lock. Returns None, or who holds it.

        Raises:
            UserError: no space left for the file.
            OSError: the folder cannot be written to.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=0, is_singleton=False)
        try:
            lock.acquire()
            self._held[path] = lock
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        except filelock.Timeout:
            return _holder(path)
        except OSError as error:
            self.release(path)
            if is_disk_full(error):
                raise disk_full(path, "what is finished is kept: make room and run the same command") from error
            raise
        return None

    def release(self, path: Path) -> None:
        """Give a lock back, and remove its file; nothing happens where this run does not hold it."""
        lock = self._held.pop(path, None)
        if lock is not None:
            # Before the release: who has opened the file meanwhile sees that it is gone, and does not take it.
            path.unlink(missing_ok=True)
            lock.release()

    def release_all(self) -> None:
        """Give every lock back."""
        for path in list(self._held):
            self.release(path)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[:200] or "another run"
    except OSError:
        return "another run"
