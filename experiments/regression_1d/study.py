"""Run units and keep their results: one JSON file and one file of weights a unit, and a CSV of all metrics.

A unit whose results lie there is not run again; results of other settings are refused, never mixed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor

from experiments.common import Task, plain, refuse_other, run_tasks, spread
from experiments.regression_1d import kernel, network
from experiments.regression_1d.data import true_log_density
from experiments.regression_1d.network import Score
from experiments.regression_1d.settings import RegressionSettings, RegressionUnit
from experiments.regression_1d.training import divergences, train
from ltr.admin.files import whole_file, write_json, write_text
from ltr.admin.inputs import read_json, replace_fields
from ltr.errors import UserError

KERNELS = ("auto", "compiled", "plain")
BEST = 5


@dataclass(frozen=True)
class Result:
    """What a unit gave.

    Attributes:
        unit: Unit that was run.
        kl: KL divergence of each model from the true density; NaN where one diverged.
        kl_noisy: Divergence from the density that the noisy labels follow; equal to `kl` without label noise.
        seconds: Processor time for training and evaluation.
        kernel: Kernel that was used, 'compiled' or 'plain'.
    """

    unit: RegressionUnit
    kl: tuple[float, ...]
    kl_noisy: tuple[float, ...]
    seconds: float
    kernel: str

    def summary(self, noisy: bool = False) -> dict[str, float]:
        """Mean of the 5 best, best, mean and standard deviation (of all finite models), and how many diverged."""
        values = sorted(value for value in (self.kl_noisy if noisy else self.kl) if math.isfinite(value))
        if not values:
            return dict.fromkeys(("best5", "best", "mean", "std"), math.nan) | {"diverged": float(len(self.kl))}
        return {
            "best5": float(np.mean(values[:BEST])),
            "best": values[0],
            "mean": spread(values)[0],
            "std": spread(values)[1],
            "diverged": float(len(self.kl) - len(values)),
        }


def result_file(folder: Path, unit: RegressionUnit) -> Path:
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
        kernel.library()
        return "compiled", kernel.score
    except kernel.KernelError as error:
        if name == "compiled":
            raise
        print(f"plain PyTorch runs, several times slower: {error}")
        return "plain", network.score


_truth = functools.lru_cache(maxsize=4)(true_log_density)


def run_unit(unit: RegressionUnit, folder: Path, kernel_name: str = "auto") -> Result:
    """Train and evaluate a unit, and write its results.

    Args:
        folder: folder of the study's results.
        kernel_name: one of `KERNELS`.
    """
    started = time.process_time()
    torch.set_num_threads(1)
    used, score = choose_score(kernel_name)
    weights = train(unit, score)
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
        "settings": plain(dataclasses.asdict(unit.settings)),
        "kl": finite(result.kl),
        "kl_noisy": finite(result.kl_noisy),
        "seconds": round(result.seconds, 1),
        "kernel": result.kernel,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def _read_results(path: Path) -> list[Result]:
    """The results in a unit's file or in a card."""
    try:
        content = read_json(path)
        return [_from_json(each) for each in (content if isinstance(content, list) else [content])]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is no result of this study ({error}); delete it to run the unit again") from error


def _from_json(content: Any) -> Result:
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in content["settings"].items()}
    settings = replace_fields(RegressionSettings(), values)
    unit = RegressionUnit(content["dataset"], content["method"], settings, content["tag"])
    kl, noisy = (
        tuple(math.nan if value is None else float(value) for value in content[key]) for key in ("kl", "kl_noisy")
    )
    return Result(unit, kl, noisy, float(content["seconds"]), content["kernel"])


def stored(folder: Path, unit: RegressionUnit) -> Result | None:
    """A unit's result on disk, or None.

    Raises:
        UserError: it was made with other settings (the message says which), or cannot be read.
    """
    path = result_file(folder, unit)
    if not path.is_file() or not path.with_suffix(".safetensors").is_file():
        return None
    results = _read_results(path)
    if len(results) != 1:
        raise UserError(f"{path} is no result of this study (it has {len(results)}); delete it to run the unit again")
    refuse_other(path, dataclasses.asdict(results[0].unit.settings), dataclasses.asdict(unit.settings))
    return results[0]


def load_results(source: Path) -> list[Result]:
    """All results in a folder, by name, or in a card that `write_card` made.

    Raises:
        UserError: there is none, or a file cannot be read.
    """
    if source.is_file():
        return _read_results(source)
    found = [result for path in sorted((source / "units").glob("*.json")) for result in _read_results(path)]
    if not found:
        raise UserError(f"{source} has no results; 'run' makes them")
    return found


def write_card(results: Sequence[Result], path: Path) -> Path:
    """All results, without weights, in one small JSON file that `load_results` reads; returns its path."""
    lines = [json.dumps(_to_json(result), ensure_ascii=False) for result in results]
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")
    return path


def load_weights(folder: Path, unit: RegressionUnit) -> Tensor:
    """A unit's trained weights [K, P]."""
    return safetensors.torch.load_file(str(result_file(folder, unit).with_suffix(".safetensors")))["weights"]


def run_units(
    units: Sequence[RegressionUnit], folder: Path, workers: int = 1, kernel_name: str = "auto"
) -> list[Result]:
    """Run the units that are missing; returns the results of all, in order.

    Args:
        workers: number of processes; each unit runs on one core.

    Raises:
        UserError: results of other settings lie in the folder.
        KernelError: `kernel_name` is 'compiled' and it cannot be.
    """
    done = {unit.name: result for unit in units if (result := stored(folder, unit)) is not None}
    missing = [unit for unit in units if unit.name not in done]
    if missing:
        kernel_name, _ = choose_score(kernel_name)
        if done:
            print(f"{len(done)} of {len(units)} units are there, {len(missing)} to run")
    done |= run_tasks("units", [Task(u.name, run_unit, (u, folder, kernel_name), u.cost) for u in missing], workers)
    write_csv(folder)
    return [done[unit.name] for unit in units]


def write_csv(folder: Path) -> Path:
    """`results.csv`: a row for every stored unit; returns its path."""
    varied = ("samples", "label_noise", "contrast_sigmas", "beta", "models", "epochs")
    rows = []
    for result in load_results(folder):
        unit = result.unit
        settings = {key: getattr(unit.settings, key) for key in varied}
        settings["contrast_sigmas"] = " ".join(map(str, unit.settings.contrast_sigmas))
        row = {"dataset": unit.dataset, "method": unit.method, "tag": unit.tag, **settings, **result.summary()}
        row |= {"best5_noisy": result.summary(noisy=True)["best5"], "seconds": result.seconds, "kernel": result.kernel}
        rows.append(row)
    path = folder / "results.csv"
    write_text(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", na_rep="nan", lineterminator="\n"))
    return path
