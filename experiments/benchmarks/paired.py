"""Trackers, back ends and another checkout on the same frames in turns: speed, start, memory, and accuracy beside them.

    python -m experiments.benchmarks.paired dimp_nceplus_lite dimp_nceplus_lite:backend=torch kcf csrt \
        --peer /checkouts/old=dimp_nceplus_lite --threads 1 2 --page docs/speed.md --plot docs/images/speed.png

Every contestant is a process of its own, which waits while another computes: each frame is tracked by all, one after
the other, in an order that turns from frame to frame. So what else the machine does meets all alike. With --page the
figures replace those of a page, between `<!-- paired -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.speed import describe_machine
from experiments.common import command_line, fill, markdown, positive, save_figure
from ltr.admin.files import write_json, write_text
from ltr.errors import UserError, exit_status
from ltr.ops.boxes import iou
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.registry import parse_overrides

WORKER = Path(__file__).with_name("paired_worker.py")
CHECKOUT = Path(__file__).resolve().parents[2]
PLACE = "paired"


@dataclass(frozen=True)
class Contestant:
    """Who takes part.

    Attributes:
        label: its name in the table.
        checkout: folder that its packages are imported from.
        parameter: name of its parameters.
        overrides: fields of them to replace.
    """

    label: str
    checkout: Path
    parameter: str
    overrides: dict[str, Any]


@dataclass
class Record:
    """What was measured of a contestant, with so many threads.

    Attributes:
        label, threads: which.
        first_box: seconds from the start of its process to its first box.
        imported: seconds of those until the package was imported.
        memory: peak of its process in MiB.
        seconds: time of every frame after the warm-up, all clips in a row.
        boxes: [frames, 4] of the same.
        overlap: mean IoU with the annotation of the same, in per cent.
    """

    label: str
    threads: int
    first_box: float = 0.0
    imported: float = 0.0
    memory: float = 0.0
    seconds: list[float] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    overlap: float = 0.0


class Worker:
    """The process of a contestant."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(contestant.checkout), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            cwd=contestant.checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._label = contestant.label
        job = {"parameter": contestant.parameter, "overrides": contestant.overrides, "threads": threads}
        self.started = self.ask(**job)

    def ask(self, **order: Any) -> dict[str, Any]:
        """Its answer to an order. Raises `UserError` if it ended instead."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise UserError(f"{self._label} ended with status {self._process.wait()}; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()


def parse_contestant(text: str) -> Contestant:
    """`NAME[:FIELD=VALUE ...]`, or `FOLDER=NAME[:FIELD=VALUE ...]` of another checkout; values as `--set` has them."""
    name, *changes = text.split(":")
    folder, _, parameter = name.rpartition("=")
    overrides = parse_overrides(changes)
    checkout = Path(folder).resolve() if folder else CHECKOUT
    if not (checkout / "pytracking").is_dir():
        raise UserError(f"{checkout} is no checkout: it has no folder pytracking")
    place = f"{Path(folder).name}: " if folder else ""
    # A path's last part says enough, and is the same on any machine.
    shown = [re.sub(r"=.*[/\\]", "=", change) for change in changes]
    return Contestant(place + " ".join([parameter, *shown]), checkout, parameter, overrides)


def race(contestants: list[Contestant], clips: list[Sequence], threads: int, count: int, warmup: int) -> list[Record]:
    """Let all contestants track `count` frames of each clip after the first and `warmup` more."""
    records = [Record(contestant.label, threads) for contestant in contestants]
    workers = [Worker(contestant, threads) for contestant in contestants]
    overlaps: list[list[float]] = [[] for _ in contestants]
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            number = min(len(clip.frames), 1 + warmup + count)
            path = Path(folder) / "frames.npy"
            np.save(path, np.stack([clip.image(k) for k in range(number)]))
            truth = torch.from_numpy(np.asarray(clip.ground_truth_rect[:number], dtype=np.float64))
            for worker in workers:
                worker.ask(frames=str(path))
            for frame in range(number):
                for turn in range(len(workers)):
                    who = (frame + turn) % len(workers)
                    order = {"frame": frame, **({"box": truth[0].tolist()} if frame == 0 else {})}
                    answer = workers[who].ask(**order)
                    record = records[who]
                    if frame == 0 and not record.first_box:
                        record.imported = workers[who].started["import"]
                        record.first_box = workers[who].started["load"] + answer["seconds"]
                    if frame > warmup:
                        record.seconds.append(answer["seconds"])
                        record.boxes.append(answer["box"])
                        overlaps[who].append(float(iou(torch.tensor(answer["box"]).double(), truth[frame])))
    for record, worker, overlap in zip(records, workers, overlaps):
        record.memory = worker.ask(memory=True)["memory"]
        record.overlap = 100 * float(np.nanmean(overlap))
        worker.end()
    return records


def table(records: list[Record]) -> str:
    """The figures in Markdown; every contestant's factor and boxes against the last one with as many threads."""
    rows = []
    for record in records:
        last = [other for other in records if other.threads == record.threads][-1]
        low, median, high = np.percentile(np.array(record.seconds) * 1e3, [10, 50, 90])
        factor = np.median(np.array(last.seconds) / np.array(record.seconds))
        apart = np.abs(np.array(record.boxes) - np.array(last.boxes)).max()
        speed = [f"{median:.1f} ({low:.1f}-{high:.1f})", f"{len(record.seconds) / sum(record.seconds):.1f}"]
        against = [f"{factor:.2f}", f"{apart:.3g} px", f"{record.overlap:.1f} %"]
        cost = [f"{record.imported:.2f} s", f"{record.first_box:.2f} s", f"{record.memory:.0f} MiB"]
        rows.append([record.label, f"{record.threads}", *speed, *against, *cost])
    header = ["tracker", "threads", "ms a frame: median (10-90 %)", "frames/s", "times the last", "boxes differ by"]
    return markdown([*header, "IoU", "import", "first box", "memory"], rows)


def plot(records: list[Record], path: Path) -> None:
    """Accuracy over speed, a point a contestant."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    labels, threads = (
        list(dict.fromkeys(getattr(record, name) for record in records)) for name in ("label", "threads")
    )
    for record in records:
        rate = len(record.seconds) / sum(record.seconds)
        colour, marker = f"C{labels.index(record.label)}", "osD^v"[threads.index(record.threads) % 5]
        shown = f"{record.label}, {record.threads} thread{'s' if record.threads > 1 else ''}"
        axes.scatter(rate, record.overlap, color=colour, marker=marker, label=shown)
    axes.set(xscale="log", xlabel="frames a second", ylabel="mean IoU in per cent")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside lower center", fontsize=7)
    save_figure(figure, path)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line("benchmarks.paired", __doc__)
    parser.add_argument("contestants", nargs="+", metavar="NAME[:FIELD=VALUE]", help="parameters, with changes")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="FOLDER=NAME[:FIELD=VALUE]", help="the same of another checkout"
    )
    parser.add_argument("--threads", nargs="+", type=positive, default=[1], help="each in turn (default: 1)")
    parser.add_argument("--clips", nargs="+", help="clips of the data set (default: all)")
    parser.add_argument("--dataset", default="demo", help="data set of the clips (default: %(default)s)")
    parser.add_argument(
        "--frames", type=positive, default=60, help="frames of each clip that count (default: %(default)s)"
    )
    parser.add_argument("--warmup", type=positive, default=5, help="frames before them (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all times and boxes there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the figures into this page")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw accuracy over speed")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    contestants = [parse_contestant(text) for text in (*args.contestants, *args.peer)]
    clips = get_dataset(args.dataset, sequences=args.clips)
    machine = describe_machine()
    records = []
    for threads in args.threads:
        records += race(contestants, clips, threads, args.frames, args.warmup)
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    place = ", ".join(f"{key} {value}" for key, value in machine.items()) + load
    count = len(records[0].seconds)
    text = f"{count} frames of {', '.join(clip.name for clip in clips)}; {place}.\n\n{table(records)}"
    print(text)
    if args.json:
        write_json(args.json, {"machine": machine, "records": [asdict(record) for record in records]})
    if args.plot:
        plot(records, args.plot)
    if args.page:
        write_text(args.page, fill(args.page.read_text(encoding="utf-8"), {PLACE: f"\n{text}\n"}, str(args.page)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
