"""What the studies share: objectives, tasks on several processes, answers that are kept, tables, pages and pictures."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ltr.admin.files import whole_file, write_json
from ltr.admin.inputs import read_json
from ltr.ebm.methods import Method, create_method
from ltr.errors import UserError

_MARKED = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class NoiseSettings:
    """What the methods draw; the defaults are the detection study's, in relative box space: sigma x box, log size.

    Attributes:
        num_samples: Number M of samples for each annotation.
        likelihood_sigmas: Noise mixture of ML-IS and KLD-IS.
        label_sigma: Standard deviation of KLD-IS's label density.
        contrast_sigmas: Noise mixture of NCE and NCE+.
        beta: Width of NCE+'s positive, in parts of the noise.
        dsm_sigma: Standard deviation of DSM's noise.
        mcmc_step: Step length a of ML-MCMC.
    """

    num_samples: int = 128
    likelihood_sigmas: tuple[float, ...] = (0.0375, 0.075, 0.15)
    label_sigma: float = 0.0225
    contrast_sigmas: tuple[float, ...] = (0.075, 0.15, 0.3)
    beta: float = 0.1
    dsm_sigma: float = 0.075
    mcmc_step: float = 1e-5


@dataclass(frozen=True)
class StudiedMethod:
    """A method that the studies compare.

    Attributes:
        label: Name as the paper writes it.
        objective: Key of `ltr.ebm.methods.METHODS`, or 'iou' for IoU regression.
        chain: Number of Langevin steps of ML-MCMC, else 0.
        paper: AP, AP50, AP75 on COCO test-dev in per cent, and training time over the plain detector's, as the paper's
            detection study has them (docs/reference.md, section 9); None where it has none.
    """

    label: str
    objective: str
    chain: int = 0
    paper: tuple[float, float, float, float] | None = None

    @property
    def draws(self) -> bool:
        """Whether the number of samples matters to it."""
        return self.objective != "sm"


METHODS: dict[str, StudiedMethod] = {
    "iou": StudiedMethod("IoU", "iou"),
    "mlis": StudiedMethod("ML-IS", "mlis", paper=(39.4, 58.6, 42.1, 1.03)),
    "mlmcmc1": StudiedMethod("ML-MCMC-1", "mlmcmc", 1, (36.4, 57.9, 38.8, 2.47)),
    "mlmcmc4": StudiedMethod("ML-MCMC-4", "mlmcmc", 4, (36.4, 57.9, 39.0, 7.05)),
    "mlmcmc8": StudiedMethod("ML-MCMC-8", "mlmcmc", 8, (36.4, 58.0, 39.0, 13.3)),
    "mlmcmc16": StudiedMethod("ML-MCMC-16", "mlmcmc", 16),
    "kldis": StudiedMethod("KLD-IS", "kldis", paper=(39.6, 58.6, 42.6, 1.02)),
    "nce": StudiedMethod("NCE", "nce", paper=(39.5, 58.6, 42.4, 1.04)),
    "sm": StudiedMethod("SM", "sm"),
    "dsm": StudiedMethod("DSM", "dsm", paper=(36.3, 57.9, 38.9, 3.84)),
    "nceplus": StudiedMethod("NCE+", "nceplus", paper=(39.7, 58.7, 42.7, 1.09)),
}


def create_objective(objective: str, noise: NoiseSettings, chain: int = 0, **shared: Any) -> Method:
    """A training method of `ltr.ebm` with a study's noise.

    Args:
        objective: a key of `ltr.ebm.methods.METHODS`.
        chain: number of Langevin steps of ML-MCMC.
        shared: further arguments of the methods that draw from fixed noise.
    """
    count = {"num_samples": noise.num_samples}
    likelihood = {"noise_sigmas": noise.likelihood_sigmas, **count, **shared}
    contrast = {"noise_sigmas": noise.contrast_sigmas, **count, **shared}
    arguments: dict[str, dict[str, Any]] = {
        "mlis": likelihood,
        "kldis": {"label_sigma": noise.label_sigma, **likelihood},
        "nce": contrast,
        "nceplus": {"beta": noise.beta, **contrast},
        "dsm": {"sigma": noise.dsm_sigma, **count, **shared},
        "mlmcmc": {"steps": chain, "step_length": noise.mcmc_step, **count},
        "sm": {},
    }
    return create_method(objective, **arguments[objective])


def command_line(module: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m experiments.<module>`, with the module's docstring as it is written."""
    return argparse.ArgumentParser(
        prog=f"python -m experiments.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def network_command_line(module: str, description: str | None, output: str) -> argparse.ArgumentParser:
    """`command_line` of what looks at a network on the data of a recipe, with the options that all of these have.

    Args:
        output: file that is written where no `--output` is given.
    """
    parser = command_line(module, description)
    parser.add_argument("recipe", help="the recipe whose data are used")
    parser.add_argument("--network", type=Path, required=True, help="a trained network (.safetensors)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="here: %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--output", type=Path, default=Path(output), help="%(default)s")
    return parser


def positive(text: str) -> int:
    """A whole number of at least one, for the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def check_positive(settings: object, names: Iterable[str]) -> None:
    """Raise a UserError for the first field of `settings` that is not above zero."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise UserError(f"{name} must be positive, not {getattr(settings, name)}")


def step_order(rows: int, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Row numbers [size] of every step: each row once before any comes again. They depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(left) < size:
            left = torch.cat((left, torch.randperm(rows, generator=generator)))
        yield left[:size]
        left = left[size:]


@dataclass(frozen=True)
class Task:
    """A call that can be made in another process.

    Attributes:
        name: Name for messages.
        function, arguments: Call to make, importable and picklable.
        weight: Expected time in any unit.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    weight: float = 1.0


def run_tasks(title: str, tasks: Sequence[Task], workers: int) -> dict[str, Any]:
    """Run all tasks in their order, with progress and an estimate of the time that is left on the error output.

    Args:
        workers: number of processes of one thread each; with 1 all runs here, with torch's own threads. When this
            process is interrupted, they are stopped at once.

    Returns:
        What each task returned, by name. The first exception of a task is raised, after the others are done.
    """
    results: dict[str, Any] = {}
    total, began, spent = sum(task.weight for task in tasks), time.perf_counter(), 0.0

    def report(task: Task) -> None:
        nonlocal spent
        spent += task.weight
        gone = time.perf_counter() - began
        left = gone * (total - spent) / max(spent, 1e-9)
        done = f"{title}: {len(results)}/{len(tasks)} {task.name}"
        print(f"{done}, {gone / 60:.1f} min, about {left / 60:.1f} left", file=sys.stderr)

    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            results[task.name] = task.function(*task.arguments)
            report(task)
        return results
    failed: Exception | None = None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        futures: dict[Future[Any], Task] = {pool.submit(t.function, *t.arguments): t for t in tasks}
        try:
            for future in as_completed(futures):
                task, error = futures[future], future.exception()
                if isinstance(error, Exception):
                    print(f"{title}: {task.name} failed: {error}", file=sys.stderr)
                    failed = failed or error
                else:
                    results[task.name] = future.result()
                report(task)
        except KeyboardInterrupt:
            # A task may take half an hour: whoever stops a study does not wait for it.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    if failed is not None:
        raise failed
    return {task.name: results[task.name] for task in tasks}


def _start_worker() -> None:
    """Use one thread, since several processes share the cores, and leave Ctrl-C to the parent."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def plain(content: Any) -> Any:
    """The content as JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(content))


def remembered(path: Path, question: dict[str, Any], answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer stored at `path` if it is to this question; else it is computed and stored, whole.

    Args:
        question: plain JSON values, everything that the answer depends on.
    """
    asked = plain(question)
    if path.is_file():
        stored: dict[str, Any] = read_json(path, UserError)
        if stored["question"] == asked:
            return stored
    found: dict[str, Any] = plain({"question": asked, **answer()})
    write_json(path, found)
    return found


def refuse_other(path: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Raise a UserError where what is stored at `path` was made with other settings than `wanted`; never mix them.

    Args:
        stored, wanted: settings as plain JSON values.
        free: names of settings that may differ.
    """
    different = ", ".join(key for key in wanted if key not in free and wanted[key] != stored.get(key))
    if different:
        raise UserError(f"{path} was made with other settings ({different}): choose another folder, or delete it")


def claim_workspace(folder: Path, settings: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Write a study's settings into its workspace. Raises a UserError where another study's are there."""
    path, wanted = folder / "settings.json", plain(settings)
    if path.is_file():
        refuse_other(path, read_json(path, UserError), wanted, free)
    write_json(path, wanted)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (divisor n - 1; NaN for a single value) over seeds."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def mean_and_spread(values: Sequence[float], digits: int = 1) -> str:
    """'mean ± standard deviation'; the mean alone for a single value."""
    mean, deviation = spread(values)
    return f"{mean:.{digits}f}" + ("" if np.isnan(deviation) else f" ± {deviation:.{digits}f}")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of even width."""
    widths = [max(3, *(len(row[place]) for row in (header, *rows))) for place in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def fill(text: str, tables: Mapping[str, str], where: str) -> str:
    """Replace what stands between `<!-- name -->` and `<!-- end -->`; names without a table keep what they have.

    Raises:
        UserError: a table without a place.
    """
    places = {found["name"] for found in _MARKED.finditer(text)}
    for name in tables:
        if name not in places:
            raise UserError(f"{where}: has no place for a table; write '<!-- {name} -->' and '<!-- end -->'")

    def replaced(found: re.Match[str]) -> str:
        if found["name"] not in tables:
            return found[0]
        return f"{found[1]}{tables[found['name']]}\n{found[3]}"

    return _MARKED.sub(replaced, text)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a picture whole; returns its path."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=110, bbox_inches="tight")
    return path
