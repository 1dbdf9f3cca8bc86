"""What running and evaluating cost besides the trackers themselves, on this machine.

    python -m experiments.benchmarks.evaluation --json evaluation.json

(a) The runner's overhead a frame: a tracker that does nothing, over the demo clips, by `run_dataset` in this process
and in worker processes, against a bare loop that reads the images and calls the tracker. The time to start is measured
separately.
(b) The time to score stored results, made-up ones as long as OTB-100's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.speed import describe_machine, seconds, write_measurements
from experiments.common import command_line, positive
from ltr.dataset.layout import load_list
from ltr.errors import exit_status
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.tables import format_table, per_sequence_table, results_table
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.results import RawResult, save_result
from pytracking.evaluation.running import Workers, run_dataset
from pytracking.evaluation.tracker import TrackerRun
from pytracking.tracker.static import StaticTracker

STATIC = TrackerRun("static", "default")


def bare_loop(sequences: list[Sequence]) -> None:
    """Read every image and hand it to the static tracker, with nothing kept."""
    for sequence in sequences:
        tracker = StaticTracker()
        for number in range(len(sequence.frames)):
            image = sequence.image(number)
            if number == 0:
                tracker.initialize(image, sequence.init_info()["init_bbox"])
            else:
                tracker.track(image)


def copies(sequences: list[Sequence], count: int) -> list[Sequence]:
    """The sequences `count` times over, each copy under a name of its own."""
    return [replace(sequence, name=f"{sequence.name}_{k}") for k in range(count) for sequence in sequences]


def measure_overhead(sequences: list[Sequence], workers: list[int], repeats: int) -> list[dict[str, Any]]:
    """The bare loop, this process and each number of worker processes, in turns, `repeats` times; the best of each.

    A pool's start is taken out by its own measurement: the same run on one frame of as many sequences as workers.

    Returns:
        Rows of `how` ('bare loop', 'this process', or '<N> worker processes'), `frames` tracked, `seconds` altogether,
        `per_frame` in milliseconds, and `overhead`, those over the bare loop; for several workers by the wall's clock.
    """
    frames = sum(len(sequence.frames) for sequence in sequences)
    labels = {0: "this process", **{count: f"{count} worker process{'es' * (count > 1)}" for count in workers}}
    best: dict[str, float] = {}

    def note(how: str, took: float) -> None:
        best[how] = min(best.get(how, float("inf")), took)

    for _ in range(repeats):
        note("bare loop", seconds(bare_loop, sequences)[0])
        for count, label in labels.items():
            note(label, run_once(sequences, count))
            if count:
                one_frame = [sequence.beginning(1) for sequence in copies(sequences[:1], count)]
                note(f"start of {label}", run_once(one_frame, count))
    bare = best["bare loop"]
    found = []
    for how in ("bare loop", *labels.values()):
        net = best[how] - best.get(f"start of {how}", 0.0)
        times = {"per_frame": net / frames * 1e3, "overhead": (net - bare) / frames * 1e3}
        found.append({"how": how, "frames": frames, "seconds": best[how], **times})
    return found


def run_once(sequences: list[Sequence], workers: int) -> float:
    """Seconds that `run_dataset` takes with the static tracker, results written to a temporary folder."""
    run = partial(run_dataset, workers=Workers(workers, torch_threads=1))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        took, failures = seconds(run, sequences, [STATIC], Path(folder))
    if failures:
        raise RuntimeError(f"{len(failures)} sequences failed: {failures[0].message}")
    return took


def made_up(folder: Path, lengths: list[int]) -> tuple[list[Sequence], list[TrackerRun]]:
    """Annotations of sequences with so many frames each, and a stored result for each, somewhat beside them."""
    rng = np.random.default_rng(0)
    run = TrackerRun("made_up", "near")
    sequences = []
    for number, length in enumerate(lengths):
        name = f"sequence_{number:03d}"
        centre = np.cumsum(rng.normal(0, 2, (length, 2)), axis=0) + 300
        boxes = np.concatenate([centre, np.full((length, 2), 60.0)], axis=1)
        paths = [folder / name / f"{k:04d}.jpg" for k in range(1, length + 1)]
        sequences.append(Sequence(name, paths, "otb", boxes, folder / f"{name}.txt"))
        answered = boxes + rng.normal(0, 5, boxes.shape)
        answered[0] = boxes[0]
        save_result(run.result_folder(folder), RawResult(answered, np.full(length, 0.02)), {"sequence": name})
    return sequences, [run]


def otb_lengths() -> list[int]:
    """Frames of the sequences of OTB-100."""
    return [entry["endFrame"] - entry["startFrame"] + 1 for entry in load_list("otb100.json")]


def score(sequences: list[Sequence], runs: list[TrackerRun], root: Path) -> str:
    """Read the results, score them and format both tables; the table of results."""
    scores = extract_scores(runs, sequences, root)
    per_sequence_table(scores)
    return results_table(scores)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line("benchmarks.evaluation", __doc__)
    parser.add_argument("--workers", nargs="+", type=positive, default=[1, 2], help="worker processes (default: 1 2)")
    parser.add_argument("--copies", type=positive, default=3, help="copies of the demo clips (default: %(default)s)")
    parser.add_argument("--repeats", type=positive, default=3, help="the best counts (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, settings and results there too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    print(", ".join(f"{key}: {value}" for key, value in describe_machine().items()))
    sequences = copies(get_dataset("demo"), args.copies)
    found = measure_overhead(sequences, args.workers, args.repeats)
    formats = ("{how}", "{frames}", "{seconds:.2f}", "{per_frame:.3f}", "{overhead:.3f} ms")
    rows = [[text.format(**row) for text in formats] for row in found]
    header = ["static tracker", "frames", "seconds", "ms/frame", "beyond the bare loop"]
    print(f"\n{format_table(header, rows)}")
    print("ms/frame leave the start of worker processes out, which the seconds contain")
    with tempfile.TemporaryDirectory() as folder:
        stored, runs = made_up(Path(folder), otb_lengths())
        took, table = seconds(score, stored, runs, Path(folder))
    count = sum(len(sequence.frames) for sequence in stored)
    print(f"\nmade-up results on {len(stored)} sequences, {count} frames, read and scored in {took:.2f} s\n{table}")
    scoring = {"runs": len(runs), "sequences": len(stored), "frames": count, "seconds": took}
    write_measurements(args, overhead=found, scoring=scoring)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
