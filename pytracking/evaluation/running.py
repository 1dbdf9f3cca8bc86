"""Running trackers on sequences, on one worker or many, with every failure reported at the end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltr.errors import UserError, check_names
from pytracking.evaluation.data import Sequence, check_distinct
from pytracking.evaluation.execution import Backend, TrackerSpec, Unit, run_sequence, set_threads
from pytracking.evaluation.in_process import InProcess
from pytracking.evaluation.results import describe_run, why_redo
from pytracking.evaluation.schedule import Failure, Schedule, Work
from pytracking.evaluation.seeds import seeded_by_run, sequence_seed
from pytracking.evaluation.tracker import TrackerRun
from pytracking.evaluation.tracker import results_root as default_results_root
from pytracking.networks import checksum, network_file
from pytracking.progress import progress_bar
from pytracking.registry import create_tracker, load_parameters

__all__ = ["BACKENDS", "Failure", "Workers", "report_failures", "run_dataset", "run_sequence"]

BACKENDS = ("process", "ray")


@dataclass(frozen=True)
class Workers:
    """On how many workers, and of which kind.

    Attributes:
        threads: number of workers. With 'process', 0 is this process; with 'ray', 0 is as many as the cluster has
            room for.
        backend: 'process' for processes on this machine, 'ray' for a Ray cluster.
        torch_threads: number of threads that torch and OpenCV use in each worker; None for OMP_NUM_THREADS, else the
            cores shared equally (Ray: 1; this process: torch's own choice).
        gpus_per_worker: number of GPUs that Ray reserves for a worker, a fraction for sharing one; None for 1 where
            the cluster has GPUs. Worker processes take turns on the GPUs there are.
        batch: sequences that each worker tracks in lockstep, through one batch of its network.

    Raises:
        UserError: an unknown back end, or a number out of its range.
    """

    threads: int = 0
    backend: str = "process"
    torch_threads: int | None = None
    gpus_per_worker: float | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        check_names("back end", [self.backend], BACKENDS)
        if self.threads < 0:
            raise UserError(f"--threads must be 0 (this process) or more, not {self.threads}")
        if self.batch < 1:
            raise UserError(f"--batch must be at least 1, not {self.batch}")
        if self.torch_threads is not None and self.torch_threads < 1:
            raise UserError(f"--torch_threads must be at least 1, not {self.torch_threads}")
        if self.gpus_per_worker is not None:
            if self.backend != "ray":
                raise UserError("--gpus_per_worker is for --backend ray; worker processes take turns on the GPUs")
            if self.gpus_per_worker < 0:
                raise UserError(f"--gpus_per_worker must not be negative, not {self.gpus_per_worker}")

    @property
    def in_process(self) -> bool:
        """Whether nothing but this process tracks."""
        return self.backend == "process" and self.threads == 0


def run_dataset(
    sequences: list[Sequence],
    runs: list[TrackerRun],
    results_root: Path | int | None = None,
    threads: int | None = None,
    *,
    force: bool = False,
    debug: bool | int = False,
    overrides: dict[str, Any] | None = None,
    workers: Workers | None = None,
    wait: bool = False,
    plan_only: bool = False,
) -> list[Failure]:
    """Run trackers on sequences and write their raw results under `results_root`.

    A complete result of an earlier run with the same parameters, weights and seed is kept; a half or stale one is
    redone, and so is one whose worker has died. A sequence that fails is recorded and the others go on.

    Args:
        sequences: from `get_dataset`, with different names.
        runs: from `trackerlist`.
        results_root: see `TrackerRun.result_folder`; None for `pytracking.evaluation.tracker.results_root`. A
            number is `debug`, which has this place in PyTracking.
        threads: worker processes, in PyTracking's place for them; `workers` says more.
        force: track again even where a complete result exists.
        debug: print a line a frame; in this process, stop at the first failure with its traceback. 2 draws what
            happens inside each frame, too, into `<result folder>_inside/<sequence>` (dimp and atom).
        overrides: fields of the parameters to replace, for all runs.
        workers: number and kind of workers; this process when left out.
        wait: wait for sequences that another run on the same results is tracking, instead of leaving them out.
        plan_only: print how long it will take, by a short trial of each tracker, and track nothing.

    Returns:
        The failures, empty where all went well; `report_failures` prints them.

    Raises:
        UserError: unknown tracker or parameter, weights that are missing, a worker that cannot start, two sequences of
            the same name, or no space left for a result.
    """
    if isinstance(results_root, int):
        debug, results_root = results_root, None
    root = default_results_root() if results_root is None else results_root
    workers = workers or Workers(threads or 0)
    if debug and workers.backend == "ray":
        raise UserError("--debug is for this process or worker processes on this machine: run without --backend ray")
    if debug > 1 and workers.batch > 1:
        raise UserError("--debug 2 draws one sequence at a time: run without --batch")
    works = _to_track(sequences, runs, root, force, overrides or {}, debug > 1)
    if plan_only:
        from pytracking.evaluation.plan import plan

        print(plan(works, max(1, workers.threads)) if works else "nothing is left to track")
        return []
    if not works:
        return []
    # The longest first, so that no worker, and no task of an array, is left with a long one at the end. One after the
    # other they go run by run, since a process keeps the tracker of one run only.
    in_turn = workers.in_process and workers.batch == 1
    works.sort(key=lambda work: (runs.index(work.run) if in_turn else 0, -work.length))
    label = runs[0].label if len(runs) == 1 else f"{len(runs)} runs"
    backend = _backend(workers, len(works), bool(debug))
    with progress_bar(sum(work.length for work in works), label) as bar:
        schedule = Schedule(works, backend, bar, force, wait)
        try:
            with _terminate_as_interrupt():
                schedule.run()
        except KeyboardInterrupt:
            bar.close()
            print(
                f"stopped: {schedule.done} of {len(works)} sequences are done and kept; the same command goes on with "
                "the rest",
                file=sys.stderr,
            )
            raise
    _report_elsewhere(schedule)
    return schedule.failures


def report_failures(failures: list[Failure]) -> None:
    """Print every failure on stderr, with its traceback where the message does not say all."""
    for failure in failures:
        if failure.details is not None:
            print(failure.details, file=sys.stderr)
        print(f"failed: {failure.run.label} on {failure.sequence}: {failure.message}", file=sys.stderr)
    if failures:
        print(f"{len(failures)} sequence(s) failed; the results of the others are kept", file=sys.stderr)


def weights_checksum(params: Any) -> str | None:
    """Checksum of the weights that parameters name by `net_path` or `net_name`; None where they have no such field.

    Raises:
        UserError: there is no such file.
    """
    path = getattr(params, "net_path", None)
    name = getattr(params, "net_name", None)
    if path is None and name is None:
        return None
    file = Path(path).expanduser() if path is not None else network_file(str(name))
    if not file.exists():
        raise UserError(f"{file}: no such file or folder (net_path, the network's weights)")
    return checksum(file)


def _to_track(
    sequences: list[Sequence], runs: list[TrackerRun], root: Path, force: bool, overrides: dict[str, Any], draw: bool
) -> list[Work]:
    """The sequences without a usable result, run by run."""
    names = [sequence.name for sequence in sequences]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two sequences are called '{twice[0]}' and would share a result: run their data sets apart")
    check_distinct(names, names)
    folders = [run.result_folder(root) for run in runs]
    if shared := [folder for folder in folders if folders.count(folder) > 1]:
        raise UserError(f"two runs would share the results in {shared[0]}: name each tracker and run once")
    works: list[Work] = []
    for run, folder in zip(runs, folders):
        given = load_parameters(run.parameter_name, run.name, **overrides)
        params = given if "seed" in overrides else seeded_by_run(run, given)
        spec = TrackerSpec(run.name, params, weights_checksum(params), create_tracker)
        kept = 0
        for sequence in sequences:
            description = describe_run(run, params, spec.weights_sha256, sequence)
            reason = "" if force else why_redo(folder, description)
            if reason is None:
                kept += 1
                continue
            if reason:
                print(f"{run.label}: {sequence.name} is tracked again: {reason}", file=sys.stderr)
            pictures = folder.with_name(f"{folder.name}_inside") / sequence.name if draw else None
            unit = Unit(len(works), spec, sequence, sequence_seed(run.run_id, sequence.name), pictures)
            works.append(Work(unit, run, folder, description))
        if kept:
            print(
                f"{run.label}: {kept} complete result(s) kept in {folder} (--force tracks them again)", file=sys.stderr
            )
    return works


def _backend(workers: Workers, units: int, debug: bool) -> Backend:
    if workers.in_process:
        if workers.torch_threads is not None:
            set_threads(workers.torch_threads)
        return InProcess(debug, workers.batch)
    if workers.backend == "ray":
        from pytracking.evaluation.ray_backend import RayWorkers

        count = min(workers.threads or units, units)
        return RayWorkers(count, workers.torch_threads or 1, workers.gpus_per_worker, workers.batch)
    from pytracking.evaluation.workers import WorkerProcesses, default_threads

    threads = workers.torch_threads or default_threads(workers.threads)
    return WorkerProcesses(min(workers.threads, units), threads, workers.batch, debug)


def _report_elsewhere(schedule: Schedule) -> None:
    if schedule.done_by_others:
        print(f"{schedule.done_by_others} sequence(s) were finished by another run meanwhile", file=sys.stderr)
    for work, holder in schedule.elsewhere:
        print(f"left out: {work.run.label} on {work.name}, which {holder} is tracking", file=sys.stderr)
    if schedule.elsewhere:
        print(
            f"{len(schedule.elsewhere)} sequence(s) left to another run; --wait waits for it, and the same command "
            "later tracks what it leaves undone",
            file=sys.stderr,
        )


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, which job schedulers send before they kill, end the run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
