"""The back end of worker processes on this machine, each with its own tracker and, where there is one, its own GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from ltr.errors import UserError
from pytracking.evaluation.execution import Event, Failed, Lost, Tracked, TrackerSpec, Unit, Unusable
from pytracking.evaluation.worker_process import READY

_WAIT_SECONDS = 1.0
_WORKER = "pytracking.evaluation.worker_process"


@dataclass
class _Process:
    """One worker process and what it is at.

    Attributes:
        process: the process.
        connection: our end of its socket.
        slot: its number, which a process that takes its place inherits, and with it the GPU.
        ready: whether it has said that it is up.
        unit: what it tracks.
        spec: the tracker that it has built.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    slot: int
    ready: bool = False
    unit: Unit | None = None
    spec: TrackerSpec | None = None


class WorkerProcesses:
    """See `pytracking.evaluation.execution.Backend`. A process is started when the first unit needs it.

    Args:
        count: number of processes.
        threads: that torch and OpenCV use in each.
    """

    def __init__(self, count: int, threads: int) -> None:
        self._count = count
        self._threads = threads
        self._processes: dict[int, _Process] = {}

    def free(self) -> int:
        """Processes without a unit, those that are not started yet included."""
        return self._count - sum(process.unit is not None for process in self._processes.values())

    def submit(self, unit: Unit) -> None:
        """Hand a unit to an idle process, one with its tracker if there is one; else to a new process."""
        idle = [process for process in self._processes.values() if process.unit is None]
        same = [process for process in idle if process.spec == unit.spec]
        slots = [slot for slot in range(self._count) if slot not in self._processes]
        chosen = same[0] if same else self._start(slots[0]) if slots else idle[0]
        chosen.unit, chosen.spec = unit, unit.spec
        try:
            chosen.connection.send(unit.to_send())
        except OSError:
            # It has died; `wait` finds the closed socket.
            return

    def wait(self, report: Callable[[Event], None]) -> None:
        """Hand over what the processes say, and which have died.

        Raises:
            UserError: a process ended, of its own accord, before it was up.
        """
        by_connection = {process.connection: process for process in self._processes.values()}
        for connection in wait(list(by_connection), _WAIT_SECONDS):
            process = by_connection[connection]  # type: ignore[index]
            try:
                message = process.connection.recv()
            except (EOFError, OSError):
                self._bury(process, report)
                continue
            if message == READY:
                process.ready = True
                continue
            if isinstance(message, (Tracked, Failed, Unusable)):
                process.unit = None
            if isinstance(message, Failed) and message.spoiled:
                self._bury(process, report)
            report(message)

    def close(self) -> None:
        """Kill every process; none holds anything that could be lost."""
        for process in self._processes.values():
            process.process.kill()
        for process in self._processes.values():
            process.process.wait()
            process.connection.close()
        self._processes.clear()

    def _start(self, slot: int) -> _Process:
        ours, theirs = Pipe()
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads)}
        command = [sys.executable, "-m", _WORKER, str(theirs.fileno()), str(slot)]
        with _without_interrupt():
            started = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, close_fds=True
            )
            process = self._processes[slot] = _Process(started, ours, slot)
        theirs.close()
        return process

    def _bury(self, dead: _Process, report: Callable[[Event], None]) -> None:
        """Take a process that has closed its socket off the list."""
        del self._processes[dead.slot]
        dead.connection.close()
        # One that has closed its socket without ending is of no use either.
        if not _ends_soon(dead.process):
            dead.process.kill()
        status = dead.process.wait()
        if not dead.ready and status > 0:
            raise UserError(f"a worker process could not start (exit status {status}); it has said why above")
        if dead.unit is not None:
            report(Lost(dead.unit.number, describe_exit(status)))


def describe_exit(status: int) -> str:
    """How a process ended, from its return code: 'was killed by SIGKILL', 'ended with exit status 3'."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def default_threads(count: int) -> int:
    """Torch threads for each of `count` workers: OMP_NUM_THREADS where it is set, else an equal share of the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return max(1, available_cores() // count)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ends_soon(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Put SIGINT and SIGTERM off until the end of a block, in which a process is started and noted down.

    The process that is started inherits that SIGINT is blocked, so that Ctrl-C reaches none half started.
    """
    late: list[int] = []
    handlers: dict[int, Any] = {}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if threading.current_thread() is threading.main_thread():
            # A mask alone does not do: another thread may take the signal, and this one then runs its handler.
            for number in (signal.SIGTERM, signal.SIGINT):
                handlers[number] = signal.signal(number, lambda received, frame: late.append(received))
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for put_off, handler in handlers.items():
            signal.signal(put_off, signal.SIG_DFL if handler is None else handler)
        if late:
            signal.raise_signal(late[0])
