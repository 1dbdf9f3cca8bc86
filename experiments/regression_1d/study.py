"""Run units and keep their results: one JSON file and one file of weights a unit, and a CSV of all figures.

A unit whose results lie there is not run again; results of other settings are refused, never mixed.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import math
import multiprocessing
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from experiments.regression_1d import kernel, network
from experiments.regression_1d.data import true_log_density
from experiments.regression_1d.evaluation import divergences
from experiments.regression_1d.network import Score
from experiments.regression_1d.settings import Settings, Unit
from experiments.regression_1d.training import train
from ltr.admin.files import whole_file, write_json, write_text
from ltr.errors import replace_fields

KERNELS = ("auto", "compiled", "plain")
BEST = 5


@dataclass(frozen=True)
class Result:
    """What a unit gave.

    Attributes:
        unit: what was run.
        kl: KL divergence from the true density, a model; NaN where one diverged.
        kl_noisy: that from the density which the noisy labels follow; equal to `kl` without label noise.
        seconds: of processor time, for training and evaluation.
        kernel: 'compiled' or 'plain'.
    """

    unit: Unit
    kl: tuple[float, ...]
    kl_noisy: tuple[float, ...]
    seconds: float
    kernel: str

    def summary(self, noisy: bool = False) -> dict[str, float]:
        """Mean of the 5 best, best, mean and standard deviation (of all finite models), and how many diverged."""
        values = sorted(value for value in (self.kl_noisy if noisy else self.kl) if math.isfinite(value))
        if not values:
            return dict.fromkeys(("best5", "best", "mean", "std"), math.nan) | {"diverged": float(len(self.kl))}
        kl = torch.tensor(values, dtype=torch.float64)
        return {
            "best5": float(kl[:BEST].mean()),
            "best": values[0],
            "mean": float(kl.mean()),
            "std": float(kl.std()) if len(values) > 1 else math.nan,
            "diverged": float(len(self.kl) - len(values)),
        }


def result_file(folder: Path, unit: Unit) -> Path:
    """Where a unit's figures lie; its weights lie beside, as `.safetensors`."""
    return folder / "units" / f"{unit.name}.json"


def choose_score(name: str) -> tuple[str, Score]:
    """The network's y-half by the name of `KERNELS`, and which it became: 'auto' takes the compiled one if it can.

    Raises:
        KernelError: 'compiled', where it cannot be compiled.
    """
    if name == "plain":
        return name, network.score
    try:
        return "compiled", kernel.compiled_score()
    except kernel.KernelError as error:
        if name == "compiled":
            raise
        print(f"plain PyTorch runs, several times slower: {error}")
        return "plain", network.score


@functools.lru_cache(maxsize=4)
def _truth(dataset: str, grid: int, label_noise: float) -> Tensor:
    return true_log_density(dataset, grid, label_noise)


def run_unit(unit: Unit, folder: Path, kernel_name: str = "auto", tick: Callable[[], object] | None = None) -> Result:
    """Train and evaluate a unit, and write its results.

    Args:
        folder: of the study's results.
        kernel_name: of `KERNELS`.
        tick: called after every optimiser step.
    """
    started = time.process_time()
    torch.set_num_threads(1)
    used, score = choose_score(kernel_name)
    weights = train(unit, score, tick)
    settings = unit.settings
    kl = divergences(weights, _truth(unit.dataset, settings.grid, 0.0), score)
    noisy = kl
    if settings.label_noise:
        noisy = divergences(weights, _truth(unit.dataset, settings.grid, settings.label_noise), score)
    result = Result(unit, tuple(kl), tuple(noisy), time.process_time() - started, used)
    target = result_file(folder, unit)
    with whole_file(target.with_suffix(".safetensors")) as temporary:
        safetensors.torch.save_file({"weights": weights}, str(temporary))
    write_json(target, _to_json(result))
    return result


def _to_json(result: Result) -> dict[str, Any]:
    def finite(values: Sequence[float]) -> list[float | None]:
        return [value if math.isfinite(value) else None for value in values]

    unit = result.unit
    return {
        "dataset": unit.dataset,
        "method": unit.method,
        "tag": unit.tag,
        "settings": json.loads(json.dumps(dataclasses.asdict(unit.settings))),
        "kl": finite(result.kl),
        "kl_noisy": finite(result.kl_noisy),
        "seconds": round(result.seconds, 1),
        "kernel": result.kernel,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no result of this study ({error}); delete it to run the unit again") from error


def _from_json(content: Any, path: Path) -> Result:
    try:
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in content["settings"].items()}
        unit = Unit(content["dataset"], content["method"], replace_fields(Settings(), values), content["tag"])
        kl, noisy = (
            tuple(math.nan if value is None else float(value) for value in content[key]) for key in ("kl", "kl_noisy")
        )
        return Result(unit, kl, noisy, float(content["seconds"]), content["kernel"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no result of this study ({error}); delete it to run the unit again") from error


def stored(folder: Path, unit: Unit) -> Result | None:
    """A unit's result on disk, or None.

    Raises:
        ValueError: it was made with other settings (the message says which), or cannot be read.
    """
    path = result_file(folder, unit)
    if not path.is_file() or not path.with_suffix(".safetensors").is_file():
        return None
    result = _from_json(_read(path), path)
    mine, other = dataclasses.asdict(unit.settings), dataclasses.asdict(result.unit.settings)
    for key, value in mine.items():
        if other[key] != value:
            raise ValueError(
                f"{path} was made with {key} {other[key]}, not {value}; choose another --output, or delete it"
            )
    return result


def load_results(source: Path) -> list[Result]:
    """All results in a folder, by name, or in a card that `write_card` made.

    Raises:
        ValueError: there is none, or a file cannot be read.
    """
    if source.is_file():
        content = _read(source)
        return [_from_json(each, source) for each in (content if isinstance(content, list) else [content])]
    found = [_from_json(_read(path), path) for path in sorted((source / "units").glob("*.json"))]
    if not found:
        raise ValueError(f"{source} has no results; 'run' makes them")
    return found


def write_card(results: Sequence[Result], path: Path) -> Path:
    """All results, without weights, in one small JSON file that `load_results` reads; returns its path."""
    lines = [json.dumps(_to_json(result), ensure_ascii=False) for result in results]
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")
    return path


def load_weights(folder: Path, unit: Unit) -> Tensor:
    """A unit's trained weights [K, P]."""
    return safetensors.torch.load_file(str(result_file(folder, unit).with_suffix(".safetensors")))["weights"]


def run_units(units: Sequence[Unit], folder: Path, workers: int = 1, kernel_name: str = "auto") -> list[Result]:
    """Run the units that are missing, with a progress bar; returns the results of all, in order.

    Args:
        workers: processes; each unit runs on one core.

    Raises:
        ValueError: results of other settings lie in the folder.
        KernelError: `kernel_name` is 'compiled' and it cannot be.
    """
    done = {unit.name: result for unit in units if (result := stored(folder, unit)) is not None}
    missing = [unit for unit in units if unit.name not in done]
    if missing:
        kernel_name, _ = choose_score(kernel_name)
        if done:
            print(f"{len(done)} of {len(units)} units are there, {len(missing)} to run")
    for result in _run_missing(missing, folder, workers, kernel_name):
        done[result.unit.name] = result
    write_csv(folder)
    return [done[unit.name] for unit in units]


def _run_missing(missing: Sequence[Unit], folder: Path, workers: int, kernel_name: str) -> Iterator[Result]:
    # The total is a hair larger than the sum, which rounding would let the bar exceed.
    total = 1.0001 * sum(unit.cost for unit in missing)
    shown = "{desc} {percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left"
    with tqdm(total=total, bar_format=shown, disable=not missing) as bar:
        if workers == 1:
            for unit in missing:
                bar.set_description(unit.name)
                share = unit.cost / unit.settings.steps
                yield run_unit(unit, folder, kernel_name, functools.partial(bar.update, share))
            return
        yield from _run_in_processes(missing, folder, workers, kernel_name, bar)


def _run_in_processes(
    missing: Sequence[Unit], folder: Path, workers: int, kernel_name: str, bar: Any
) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    finished = False
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_stopping_to_the_parent) as pool:
        futures = {pool.submit(run_unit, unit, folder, kernel_name): unit for unit in missing}
        try:
            for future in as_completed(futures):
                bar.set_description(f"{futures[future].name} done")
                bar.update(futures[future].cost)
                yield future.result()
            finished = True
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if not finished:
                # A unit may take half an hour: one who stops the study does not wait for it.
                for process in multiprocessing.active_children():
                    process.terminate()


def _leave_stopping_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


FIGURES = ("best5", "best", "mean", "std", "diverged")


def write_csv(folder: Path) -> Path:
    """`results.csv`: a row for every stored unit; returns its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    varied = ("samples", "label_noise", "contrast_sigmas", "beta", "models", "epochs")
    writer.writerow(["dataset", "method", "tag", *varied, *FIGURES, "best5_noisy", "seconds", "kernel"])
    for result in load_results(folder):
        unit, summary = result.unit, result.summary()
        settings = [" ".join(map(str, v)) if isinstance(v := getattr(unit.settings, k), tuple) else v for k in varied]
        figures = [f"{summary[key]:.6g}" for key in FIGURES]
        noisy = f"{result.summary(noisy=True)['best5']:.6g}"
        writer.writerow(
            [unit.dataset, unit.method, unit.tag, *settings, *figures, noisy, result.seconds, result.kernel]
        )
    path = folder / "results.csv"
    write_text(path, text.getvalue())
    return path
