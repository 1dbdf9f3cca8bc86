"""The back end of worker processes on this machine, each with its own tracker and, where there is one, its own GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from tqdm import tqdm

from ltr.errors import UserError
from pytracking.evaluation.execution import Event, Failed, Lost, Tracked, TrackerSpec, Unit
from pytracking.evaluation.worker_process import READY

_WAIT_SECONDS = 1.0
_RETIRE_AFTER = 5
_WORKER = "pytracking.evaluation.worker_process"


@dataclass
class _Process:
    """One worker process and what it is at.

    Attributes:
        process: the process.
        connection: our end of its socket.
        slot: its number, which a process that takes its place inherits, and with it the GPU.
        ready: whether it has said that it is up.
        units: units that it tracks, by number.
        spec: the tracker that it has built.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    slot: int
    ready: bool = False
    units: dict[int, Unit] = field(default_factory=dict)
    spec: TrackerSpec | None = None


class WorkerProcesses:
    """See `pytracking.evaluation.execution.Backend`. A process is started when the first unit needs it.

    A unit whose worker died or met a device error goes to another worker the next time, and a worker that fails
    `_RETIRE_AFTER` times in a row is retired: a broken GPU does not eat the queue.

    Args:
        count: number of processes.
        threads: threads of torch and OpenCV in each.
        batch: units that each tracks in lockstep.
        debug: print a line a frame, with the worker's number.
    """

    def __init__(self, count: int, threads: int, batch: int = 1, debug: bool = False) -> None:
        self._count = count
        self._threads = threads
        self._batch = batch
        self._debug = debug
        self._processes: dict[int, _Process] = {}
        self._failed_on: dict[int, set[int]] = {}
        self._failures = dict.fromkeys(range(count), 0)

    @property
    def _slots(self) -> list[int]:
        """The workers that are not retired; the last one stays, so that every sequence is tried."""
        left = [slot for slot, failures in self._failures.items() if failures < _RETIRE_AFTER]
        return left or [min(self._failures, key=lambda slot: self._failures[slot])]

    def free(self) -> int:
        """How many units the workers can take, those that are not started yet included."""
        return self._batch * len(self._slots) - sum(len(process.units) for process in self._processes.values())

    def submit(self, unit: Unit) -> None:
        """Hand a unit to a worker that it has not failed on: one with its tracker and room, else a new one."""

        def rank(slot: int) -> tuple[bool, bool, bool, int]:
            process = self._processes.get(slot)
            other = process is not None and process.spec != unit.spec
            load = 0 if process is None else len(process.units)
            return slot in self._failed_on.get(unit.number, ()), other and load > 0, process is None, load

        busy = {slot for slot, process in self._processes.items() if len(process.units) >= self._batch}
        able = [slot for slot in self._slots if slot not in busy]
        slot = min(able, key=rank)
        same = any(process.spec == unit.spec for key, process in self._processes.items() if key in able)
        if not same and (new := [slot for slot in able if slot not in self._processes]):
            slot = min(new, key=rank)
        process = self._processes.get(slot) or self._start(slot)
        process.units[unit.number], process.spec = unit, unit.spec
        try:
            process.connection.send(unit.to_send())
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
            if isinstance(message, (Tracked, Failed)):
                unit = process.units.pop(message.number)
                if isinstance(message, Failed) and message.spoiled:
                    self._count_failure(process, [unit])
                    if not process.units:
                        self._bury(process, report)
                elif isinstance(message, Tracked):
                    self._failures[process.slot] = 0
            report(message)

    def _count_failure(self, process: _Process, units: Iterable[Unit]) -> None:
        """Note that a worker failed on units; after too many failures in a row it is retired."""
        for unit in units:
            self._failed_on.setdefault(unit.number, set()).add(process.slot)
        self._failures[process.slot] += 1
        if self._failures[process.slot] == _RETIRE_AFTER and process.slot not in self._slots:
            tqdm.write(
                f"worker {process.slot} is retired: it failed {_RETIRE_AFTER} times in a row (GPU number "
                "worker modulo GPUs, where there are several)",
                file=sys.stderr,
            )

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
        command = [sys.executable, "-m", _WORKER, str(theirs.fileno()), str(slot), str(self._batch)]
        command += ["debug"] if self._debug else []
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
        try:
            status = dead.process.wait(5)
        except subprocess.TimeoutExpired:
            # One that has closed its socket without ending is of no use either.
            dead.process.kill()
            status = dead.process.wait()
        if not dead.ready and status > 0:
            raise UserError(f"a worker process could not start (exit status {status}); it has said why above")
        if dead.units:
            self._count_failure(dead, dead.units.values())
        for number in dead.units:
            report(Lost(number, describe_exit(status)))


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
    if given.isascii() and given.isdigit() and len(given) < 6 and int(given) > 0:
        return int(given)
    return max(1, available_cores() // count)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
