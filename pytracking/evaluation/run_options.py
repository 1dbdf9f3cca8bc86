"""The options that `run_tracker.py` and `run_experiment.py` share, and what both do with them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltr.errors import EXIT_FAILED_SEQUENCES, UserError, list_some, printable

if TYPE_CHECKING:
    from pytracking.evaluation.data import Sequence
    from pytracking.evaluation.datasets import Reading
    from pytracking.evaluation.tracker import TrackerRun


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Changes of the tracker's parameters."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a parameter, such as net_path=FILE or target_not_found_threshold=0.2; any number of times",
    )


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """What is drawn on annotated video and where it goes, and changes of the tracker's parameters."""
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="draw how sure each box is, an ellipse of two standard deviations of its centre (trackers with an energy)",
    )
    parser.add_argument(
        "--score_map", action="store_true", help="draw the score map in a corner (one target, dimp or atom)"
    )
    add_set_option(parser)
    parser.add_argument("--output", type=Path, default=Path("results/video"), help="folder (default: results/video)")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Where and on how many workers, and what to do with what is there already."""
    workers = parser.add_argument_group("workers")
    workers.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="worker processes, which take turns on the GPUs; 0: this process (default). With --backend ray: workers "
        "in the cluster, 0 for as many as there are sequences and room",
    )
    workers.add_argument("--backend", default="process", metavar="NAME", help="process (default) or ray")
    workers.add_argument(
        "--torch_threads",
        type=int,
        metavar="N",
        help="torch threads of a worker (default: OMP_NUM_THREADS, else the cores over the workers; ray: 1)",
    )
    workers.add_argument(
        "--gpus_per_worker", type=float, metavar="F", help="ray: GPUs of a worker, such as 1 or 0.5 (default: 1 if any)"
    )
    workers.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="sequences that each worker tracks in lockstep, through one batch of its network (default: 1)",
    )
    results = parser.add_argument_group("results")
    results.add_argument("--results", type=Path, help="folder of raw results (default: results/tracking_results)")
    results.add_argument(
        "--skip_missing", action="store_true", help="leave out sequences of the data set that are not on disk"
    )
    results.add_argument("--force", action="store_true", help="track again even where a complete result exists")
    results.add_argument(
        "--wait", action="store_true", help="wait for sequences that another run is tracking (default: leave them out)"
    )
    parser.add_argument(
        "--plan", action="store_true", help="print how long it will take, from a short trial of each tracker, and stop"
    )
    parser.add_argument(
        "--debug",
        nargs="?",
        type=int,
        const=1,
        default=0,
        metavar="LEVEL",
        help="1: print box, score, flag and time of every frame; in this process, stop at the first failure. 2: also "
        "pictures of what happens inside each frame, in <results of the tracker>_inside/<sequence> (dimp and atom)",
    )
    parser.add_argument(
        "--use_visdom",
        type=int,
        default=0,
        metavar="0|1",
        help="accepted for PyTracking's command lines, and without effect: there is no Visdom here",
    )
    parser.add_argument("--visdom_server", help=argparse.SUPPRESS)
    parser.add_argument("--visdom_port", help=argparse.SUPPRESS)


def numbered_runs(runid: int | None, runs: int | None) -> list[int | None]:
    """The run ids that `--runid` and `--runs` ask for: one, 0 to N - 1, or a single run without a number.

    Raises:
        UserError: both are given, or a number below 0, or no run.
    """
    if runid is not None and runs is not None:
        raise UserError("give --runid or --runs, not both")
    if runid is not None and runid < 0:
        raise UserError(f"--runid must not be negative, not {runid}")
    if runs is not None and runs < 1:
        raise UserError(f"--runs must be at least 1, not {runs}")
    return [runid] if runs is None else list(range(runs))


def dataset_options(names: Iterable[str], path: Path | None, sequences: Iterable[str] | None) -> list[str]:
    """What names data sets and sequences on the command line of `report`."""
    words = ["--dataset_name", *names]
    words += ["--dataset_path", str(path)] if path else []
    return words + (["--sequence", *sequences] if sequences else [])


def track(
    args: argparse.Namespace,
    sequences: list[Sequence],
    runs: list[TrackerRun],
    dataset_options: list[str],
    reading: Reading | None = None,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Track, report failures, and say where the results are and how to compare them.

    Args:
        args: options, those of `add_run_options` among them.
        sequences: sequences to track.
        runs: runs of the trackers.
        dataset_options: words that name data set and sequences for `report`; [] where none do.
        reading: other findings in the data set, for the end: sequences that cannot be read fail.
        overrides: fields of the parameters to replace, for all runs.

    Returns:
        The exit status.

    Raises:
        UserError: see `run_dataset`.
    """
    from pytracking.evaluation.running import Workers, report_failures, run_dataset
    from pytracking.evaluation.tracker import results_root

    workers = Workers(args.threads, args.backend, args.torch_threads, args.gpus_per_worker, args.batch)
    root = results_root(args.results)
    failures = run_dataset(
        sequences,
        runs,
        root,
        force=args.force,
        debug=args.debug,
        overrides=overrides,
        workers=workers,
        wait=args.wait,
        plan_only=args.plan,
    )
    if args.plan:
        return 0
    report_failures(failures)
    unreadable = reading.unreadable if reading is not None else {}
    for name, message in unreadable.items():
        print(printable(f"failed: {name}: {message}"), file=sys.stderr)
    if unreadable:
        print(f"{len(unreadable)} sequence(s) cannot be read; the others are tracked", file=sys.stderr)
    if reading is not None and reading.skipped:
        print(f"{len(reading.skipped)} not on disk, left out: {list_some(reading.skipped)}", file=sys.stderr)
    for run in runs:
        print(f"results: {run.result_folder(root)}")
        if args.debug > 1:
            print(f"pictures of each frame: {run.result_folder(root)}_inside")
    if dataset_options and len(runs) > 1:
        results = ["--results", str(args.results)] if args.results else []
        command = ["python", "-m", "pytracking", "report", *report_names(runs), *dataset_options, *results]
        print(f"compare: {shlex.join(command)}")
    return EXIT_FAILED_SEQUENCES if failures or unreadable else 0


def report_names(runs: list[TrackerRun]) -> list[str]:
    """The runs as `report` takes them: ['dimp/dimp50:0,1', 'opencv/kcf'], --merge_results where several are one."""
    numbers: dict[str, list[int]] = {}
    for run in runs:
        ids = numbers.setdefault(f"{run.name}/{run.parameter_name}", [])
        if run.run_id is not None:
            ids.append(run.run_id)
    names = [name + (f":{','.join(map(str, ids))}" if ids else "") for name, ids in numbers.items()]
    merge = any(len(ids) > 1 for ids in numbers.values())
    return [*names, *(["--merge_results"] if merge else [])]
