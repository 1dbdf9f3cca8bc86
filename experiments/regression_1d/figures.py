"""The study's figures: true and learned densities side by side, and divergence against M, beta, sigma and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from experiments.common import save_figure
from experiments.regression_1d import network
from experiments.regression_1d.data import DATA_SETS, HIGH, LOW, training_pairs, true_log_density
from experiments.regression_1d.settings import METHODS
from experiments.regression_1d.study import Result, load_weights, stored
from experiments.regression_1d.training import model_log_density

PREFIX = "regression_1d"
_CELLS = 384
_DRAWN_FROM, _DRAWN_TO = -1.6, 2.0
_COLUMNS = 4
_INSIDE = 4  # lines whose names fit into a panel
CAPTIONS = {
    "densities_set1": "Set 1: training pairs, true density, and the best model of every method",
    "densities_set2": "Set 2: training pairs, true density, and the best model of every method",
    "samples": "KL divergence against the number of samples M: mean of the 5 best; bars: all models, mean of the log "
    "and its standard deviation",
    "beta": "NCE+ by beta; the line is NCE",
    "sigma": "NCE+ by the smaller sigma of its noise",
    "label_noise": "Training labels with noise: NCE and NCE+",
}


def caption(path: Path) -> str:
    """What a figure that `draw_all` made shows."""
    return CAPTIONS[path.stem.removeprefix(f"{PREFIX}_")]


def _largest(results: Sequence[Result], dataset: str) -> dict[str, Result]:
    """Each method's untagged result with the most samples."""
    found: dict[str, Result] = {}
    for result in sorted(results, key=lambda each: each.unit.settings.samples):
        if result.unit.dataset == dataset and not result.unit.tag:
            found[result.unit.method] = result
    return {name: found[name] for name in METHODS if name in found}


def best_log_density(result: Result, folder: Path, cells: int = _CELLS) -> Tensor | None:
    """log p(y | x) [cells (x), cells (y)] of the unit's best model; None if all diverged."""
    values = [value if math.isfinite(value) else math.inf for value in result.kl]
    best = min(range(len(values)), key=values.__getitem__)
    if math.isinf(values[best]):
        return None
    return model_log_density(load_weights(folder, result.unit)[best], cells, network.score)


def _heat_map(axes: Axes, log_density: Tensor | None, title: str, peak: Tensor) -> None:
    axes.set_title(title, fontsize=9)
    if log_density is None:
        axes.text(0, 0, "all diverged", ha="center")
    else:
        # A density falls by orders of magnitude between narrow and wide parts: its root shows both.
        shown = (log_density.exp().T / peak).clamp(max=1).sqrt().numpy()
        extent = (LOW, HIGH, LOW, HIGH)
        axes.imshow(shown, origin="lower", extent=extent, aspect="auto", cmap="magma", vmin=0, vmax=1)
    axes.set(xlim=(LOW, HIGH), ylim=(_DRAWN_FROM, _DRAWN_TO))


def draw_densities(results: Sequence[Result], folder: Path, dataset: str, path: Path) -> Path:
    """Heat maps of p(y | x), colour as its square root: the data, the truth, and each method's best model."""
    chosen = _largest(results, dataset)
    truth = true_log_density(dataset, _CELLS)
    peak = truth.exp().quantile(0.999)
    rows = -(-(len(chosen) + 2) // _COLUMNS)
    figure = Figure(figsize=(3 * _COLUMNS, 2.3 * rows), layout="constrained")
    cells: list[Axes] = list(figure.subplots(rows, _COLUMNS, sharex=True, sharey=True).flat)
    settings = next(iter(chosen.values())).unit.settings
    x, y = training_pairs(dataset, settings.train_size, settings.data_seed)
    cells[0].scatter(x.numpy(), y.numpy(), s=1, color="black")
    cells[0].set_title(f"{len(x)} training pairs", fontsize=9)
    _heat_map(cells[1], truth, "true density", peak)
    for axes, (name, result) in zip(cells[2:], chosen.items()):
        title = f"{METHODS[name].label}: KL {result.summary()['best']:.3f}"
        _heat_map(axes, best_log_density(result, folder), title, peak)
    for axes in cells[len(chosen) + 2 :]:
        axes.axis("off")
    figure.supxlabel("x")
    figure.supylabel("y")
    return save_figure(figure, path)


def _line(axes: Axes, points: Sequence[tuple[float, Result]], label: str, **style: Any) -> None:
    """Mean of the 5 best over a setting, with mean and standard deviation of log KL of all models as a bar.

    Args:
        style: style of the line; besides, `noisy` asks for the divergence from the noisy density, and `shift` is a
            factor on the place of the bars, so that those of several lines do not overlap.
    """
    noisy, shift = style.pop("noisy", False), style.pop("shift", 1.0)
    known = [(at, result) for at, result in sorted(points, key=lambda point: point[0]) if _logs(result, noisy).numel()]
    if not known:
        return
    best = [result.summary(noisy)["best5"] for _, result in known]
    (line,) = axes.plot([at for at, _ in known], best, marker="o", markersize=3, label=label, **style)
    for at, result in known:
        logs = _logs(result, noisy)
        middle, spread = float(logs.mean()), float(logs.std(correction=0))
        ends = [math.exp(middle - spread), math.exp(middle + spread)]
        axes.plot([at * shift, at * shift], ends, color=line.get_color(), alpha=0.35, linewidth=2)


def _logs(result: Result, noisy: bool) -> Tensor:
    values = [value for value in (result.kl_noisy if noisy else result.kl) if math.isfinite(value) and value > 0]
    return torch.tensor(values, dtype=torch.float64).log()


def _finish(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set(yscale="log", xlabel=label, ylabel="KL(true ‖ model)")
    axes.grid(alpha=0.3, which="both")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _side_by_side(draw: Callable[[str, Axes], None], label: str, path: Path) -> Path:
    figure = Figure(figsize=(5.2 * len(DATA_SETS), 3.8), layout="constrained")
    grid = figure.subplots(1, len(DATA_SETS))
    for name, axes in zip(DATA_SETS, grid):
        draw(name, axes)
        _finish(axes, DATA_SETS[name].title, label)
    if len(grid[-1].get_legend_handles_labels()[0]) > _INSIDE:
        for axes in grid[:-1]:
            if axes.get_legend() is not None:
                axes.get_legend().remove()
        grid[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return save_figure(figure, path)


def _of(results: Sequence[Result], dataset: str, method: str, tag: str) -> list[Result]:
    return [
        result
        for result in results
        if (result.unit.dataset, result.unit.method) == (dataset, method)
        and (result.unit.tag.startswith(tag) if tag else not result.unit.tag)
    ]


def draw_samples(results: Sequence[Result], path: Path) -> Path:
    """KL against M, a line a method."""

    def draw(dataset: str, axes: Axes) -> None:
        for index, (method, choice) in enumerate(METHODS.items()):
            if choice.draws:
                points = [(float(r.unit.settings.samples), r) for r in _of(results, dataset, method, "")]
                _line(axes, points, choice.label, shift=2 ** (0.12 * (index - 4.5)), color=f"C{index}")
        axes.set_xscale("log", base=2)
        counts = sorted({r.unit.settings.samples for r in results if METHODS[r.unit.method].draws and not r.unit.tag})
        axes.set_xticks(counts, [str(count) for count in counts])

    return _side_by_side(draw, "M", path)


def draw_beta(results: Sequence[Result], path: Path) -> Path:
    """KL of NCE+ against beta; NCE as a horizontal line."""

    def draw(dataset: str, axes: Axes) -> None:
        _line(axes, [(r.unit.settings.beta, r) for r in _of(results, dataset, "nceplus", "beta")], "NCE+")
        for result in _of(results, dataset, "nce", "beta"):
            axes.axhline(result.summary()["best5"], color="black", linestyle="--", linewidth=1, label="NCE")
        axes.set_xscale("log")

    return _side_by_side(draw, "beta", path)


def draw_sigma(results: Sequence[Result], path: Path) -> Path:
    """KL of NCE+ against the smaller sigma."""

    def draw(dataset: str, axes: Axes) -> None:
        points = [(r.unit.settings.contrast_sigmas[0], r) for r in _of(results, dataset, "nceplus", "sigma")]
        _line(axes, points, "NCE+")
        axes.set_xscale("log")
        axes.set_xticks([sigma for sigma, _ in points], [f"{sigma:g}" for sigma, _ in points])
        axes.set_xticks([], minor=True)

    return _side_by_side(draw, "sigma", path)


def draw_label_noise(results: Sequence[Result], path: Path) -> Path:
    """KL against the labels' noise: from the clean density, and (dotted) from the one that the noisy labels follow."""

    def draw(dataset: str, axes: Axes) -> None:
        groups: dict[str, list[tuple[float, Result]]] = {}
        for method in ("nce", "nceplus"):
            for result in _of(results, dataset, method, "noise"):
                beta = f", beta {result.unit.settings.beta:g}" if method == "nceplus" else ""
                at = result.unit.settings.label_noise
                groups.setdefault(METHODS[method].label + beta, []).append((at, result))
        for index, (label, points) in enumerate(groups.items()):
            _line(axes, points, label, color=f"C{index}")
            _line(axes, points, "", noisy=True, color=f"C{index}", linestyle=":")

    return _side_by_side(draw, "noise of the labels (dotted: from the noisy density)", path)


def draw_all(results: Sequence[Result], folder: Path, images: Path) -> list[Path]:
    """Every figure that the results suffice for; returns their paths.

    Args:
        folder: folder of the results, for the weights. A figure of densities whose weights are not all in it stays as
            it is.
        images: folder to draw into; files are named `regression_1d_*.png`.
    """
    drawn = []
    for dataset in DATA_SETS:
        chosen = _largest(results, dataset).values()
        path = images / f"{PREFIX}_densities_{dataset}.png"
        if chosen and all(stored(folder, result.unit) for result in chosen):
            draw_densities(results, folder, dataset, path)
        if chosen and path.is_file():
            drawn.append(path)
    main = [result for result in results if not result.unit.tag]
    if len({result.unit.settings.samples for result in main}) > 1:
        drawn.append(draw_samples(main, images / f"{PREFIX}_samples.png"))
    for prefix, draw in (("beta", draw_beta), ("sigma", draw_sigma), ("noise", draw_label_noise)):
        if any(result.unit.tag.startswith(prefix) for result in results):
            stem = "label_noise" if prefix == "noise" else prefix
            drawn.append(draw(results, images / f"{PREFIX}_{stem}.png"))
    return drawn
