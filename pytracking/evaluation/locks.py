"""Lock files beside results, so that two runs at once on the same results folder do not track a sequence twice."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from ltr.errors import disk_full, is_disk_full

HEARTBEAT_SECONDS = 30.0
STALE_SECONDS = 300.0
_GUARD_SECONDS = 10.0


class Locks:
    """The locks that this run holds: one file a sequence, `<folder>/<sequence>.lock`.

    A lock names its process. It is stale, and taken over, where that process has ended on this machine, or where it is
    of another machine (or container) and was not touched for `STALE_SECONDS`.
    """

    def __init__(self) -> None:
        self._token = uuid.uuid4().hex
        self._held: set[Path] = set()
        self._touched = time.monotonic()

    def acquire(self, path: Path) -> str | None:
        """Take a lock. Returns None, or who holds it.

        Raises:
            UserError: no space left for the file.
            OSError: the folder cannot be written to.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        # Again after a stale lock was removed, by this run or another.
        for _ in range(4):
            if self._create(path):
                return None
            holder = _read(path)
            if holder is None:
                continue
            if not _is_stale(path, holder):
                return f"process {holder.get('pid')} on {holder.get('host')}"
            _remove_stale(path, holder)
        return "another run that started just now"

    def release(self, path: Path) -> None:
        """Give a lock back; one that another run took over stays."""
        holder = _read(path)
        if holder is not None and holder.get("token") == self._token:
            path.unlink(missing_ok=True)
        self._held.discard(path)

    def release_all(self) -> None:
        """Give every lock back."""
        for path in list(self._held):
            self.release(path)

    def heartbeat(self) -> None:
        """Touch the locks that are held, where the last time is `HEARTBEAT_SECONDS` ago; call it often."""
        now = time.monotonic()
        if now - self._touched < HEARTBEAT_SECONDS:
            return
        self._touched = now
        for path in self._held:
            if path.exists():
                os.utime(path)

    def _create(self, path: Path) -> bool:
        """Make the lock file, whole, unless there is one."""
        self._held.add(path)
        content = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "process_started": _process_started(os.getpid()),
            "token": self._token,
        }
        temporary = path.with_name(f"{path.name}.tmp{self._token}")
        try:
            # A link to a whole file appears at once, and fails where the name is taken.
            temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
            os.link(temporary, path)
        except FileExistsError:
            self._held.discard(path)
            return False
        except OSError as error:
            self._held.discard(path)
            if is_disk_full(error):
                raise disk_full(path, "the finished sequences are kept: make room and run the same command") from error
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return True


def _read(path: Path) -> dict[str, Any] | None:
    """What a lock says; empty for a damaged one, None where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_stale(path: Path, holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    if holder.get("machine") == _machine() and isinstance(pid, int):
        return not _is_alive(pid) or _process_started(pid) != holder.get("process_started")
    try:
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def _remove_stale(path: Path, judged: dict[str, Any]) -> None:
    """Remove a lock that was judged stale, unless another run has renewed it, or is about to remove it too."""
    guard = path.with_name(f"{path.name}.guard")
    try:
        os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        # Held for a moment only, unless its process was killed in that moment.
        with suppress(FileNotFoundError):
            if time.time() - guard.stat().st_mtime > _GUARD_SECONDS:
                guard.unlink()
        return
    try:
        if _read(path) == judged:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A process that has ended but was not waited for is still listed.
    return _stat_fields(pid)[:1] != ["Z"]


def _process_started(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; None where the system does not tell."""
    fields = _stat_fields(pid)
    return fields[19] if len(fields) > 19 else None


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the program's name, the state first; empty where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _machine() -> str:
    """Where process numbers mean the same: host, boot and container."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    except OSError:
        pass
    return " ".join(parts)
