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
    parser.add_argument("--targets", type=int, default=1, help="number of boxes to draw with the mouse (default: 1)")
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


def overrides_of(args: argparse.Namespace, tracker: str, parameter: str) -> dict[str, Any]:
    """The fields of a tracker's parameters that `--set` and `--uncertainty` replace.

    Raises:
        UserError: a field or a value that the tracker does not take, or an uncertainty that its boxes do not have.
    """
    from pytracking.registry import load_parameters, parse_overrides

    overrides = parse_overrides(args.set)
    try:
        load_parameters(parameter, tracker, **overrides)
    except UserError as error:
        raise UserError(f"--set {shlex.join(args.set)}: {error}" if args.set else str(error)) from None
    if not getattr(args, "uncertainty", False):
        return overrides
    try:
        load_parameters(parameter, tracker, **(overrides := {**overrides, "box_uncertainty": True}))
    except UserError:
        raise UserError(
            f"--uncertainty: {tracker}/{parameter} has no energy that could say how sure a box is; leave it out, or "
            "take a tracker with one, such as dimp/dimp_nceplus_lite"
        ) from None
    return overrides


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


def find_runs(names: Iterable[str], run_ids: Iterable[int | None] = (None,)) -> list[TrackerRun]:
    """The runs of trackers that are given as '[tracker/]parameters[=label]'.

    Raises:
        UserError: an unknown tracker, or one that is named twice.
    """
    from pytracking.evaluation.tracker import TrackerRun
    from pytracking.registry import find_tracker

    runs: dict[tuple[str, str], list[TrackerRun]] = {}
    for text in names:
        name, _, label = text.partition("=")
        found = find_tracker(name)
        if found in runs:
            raise UserError(f"--trackers names a tracker twice: {'/'.join(found)}")
        runs[found] = [TrackerRun(*found, run_id, label or None) for run_id in run_ids]
    return [run for several in runs.values() for run in several]


def track(
    args: argparse.Namespace,
    sequences: list[Sequence],
    runs: list[TrackerRun],
    datasets: Iterable[str] = (),
    reading: Reading | None = None,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Track, report failures, and say where the results are and how to compare them.

    Args:
        args: options, those of `add_run_options` among them.
        sequences: sequences to track.
        runs: runs of the trackers.
        datasets: names of the data sets, for the command that compares; none where they have no names.
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
    status = report_unreadable(reading.unreadable if reading is not None else {}, "tracked")
    if reading is not None and reading.skipped:
        print(f"{len(reading.skipped)} not on disk, left out: {list_some(reading.skipped)}", file=sys.stderr)
    for run in runs:
        print(f"results: {run.result_folder(root)}")
        if args.debug > 1 and (inside := Path(f"{run.result_folder(root)}_inside")).exists():
            print(f"pictures of each frame: {inside}")
    if len(runs) > 1:
        options = ["--skip_missing_seq"] if failures or args.skip_missing else []
        for names in _compared(args, sequences, list(datasets)):
            command = ["python", "-m", "pytracking", "report", *report_names(runs), *names, *options]
            command += _option("--results", args.results) if args.results else []
            print(f"compare: {shlex.join(command)}")
    return EXIT_FAILED_SEQUENCES if failures else status


def _compared(args: argparse.Namespace, sequences: list[Sequence], datasets: list[str]) -> list[list[str]]:
    """Words that name data sets and sequences for `report`: all data sets at once, or each with its sequences."""
    path = _option("--dataset_path", args.dataset_path) if datasets and args.dataset_path else []
    if not datasets or args.sequence is None:
        return [["--dataset_name", *datasets, *path]] if datasets else []
    names = {name: [sequence.name for sequence in sequences if sequence.dataset == name] for name in datasets}
    return [
        ["--dataset_name", dataset, *path, *_option("--sequence", *chosen)]
        for dataset, chosen in names.items()
        if chosen
    ]


def _option(name: str, *values: str | Path) -> list[str]:
    """Words of an option; a value that begins like an option itself goes into one word with the option."""
    words = [str(value) for value in values]
    if any(word.startswith("-") for word in words):
        return [f"{name}={word}" for word in words]
    return [name, *words]


def report_unreadable(unreadable: dict[str, str], done: str, kind: str = "sequence(s)") -> int:
    """Name the sequences that could not be read, at the end of what was `done` with the others; the exit status."""
    for name, message in unreadable.items():
        print(printable(f"failed: {name}: {message}"), file=sys.stderr)
    if unreadable:
        print(f"{len(unreadable)} {kind} cannot be read; the others are {done}", file=sys.stderr)
    return EXIT_FAILED_SEQUENCES if unreadable else 0


def report_names(runs: list[TrackerRun]) -> list[str]:
    """The runs as `report` takes them: ['dimp/dimp50:0,1', 'opencv/kcf=KCF'], --merge_results where several are one."""
    numbers: dict[tuple[str, str | None], list[int]] = {}
    for run in runs:
        ids = numbers.setdefault((f"{run.name}/{run.parameter_name}", run.display_name), [])
        if run.run_id is not None:
            ids.append(run.run_id)
    names = [
        name + (f":{','.join(map(str, ids))}" if ids else "") + (f"={label}" if label else "")
        for (name, label), ids in numbers.items()
    ]
    merge = any(len(ids) > 1 for ids in numbers.values())
    return [*names, *(["--merge_results"] if merge else [])]
