"""The study's tables as Markdown, and its page of the documentation made anew from stored results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.common import fill, markdown, spread
from experiments.regression_1d import figures
from experiments.regression_1d.data import DATA_SETS
from experiments.regression_1d.settings import METHODS
from experiments.regression_1d.study import Result, load_results, write_card
from ltr.admin.files import write_text


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _setting(result: Result) -> str:
    """The settings by which a result differs from the others of its method in its table."""
    settings = result.unit.settings
    parts = [f"M {settings.samples}"] if METHODS[result.unit.method].draws else []
    if result.unit.tag:
        parts.append(result.unit.tag.replace("_", ", "))
    return ", ".join(parts)


def table(results: Sequence[Result], noisy: bool = False) -> str:
    """Markdown: a row for each result, best first.

    Args:
        results: results of one data set.
        noisy: a further column, the divergence from the density that the noisy labels follow.
    """
    rows = []
    for result in sorted(results, key=lambda each: np.nan_to_num(each.summary()["best5"], nan=math.inf)):
        summary = result.summary()
        row = [METHODS[result.unit.method].label, _setting(result), _number(summary["best5"])]
        row += [f"{_number(summary['mean'])} ± {_number(summary['std'])}", _number(summary["best"])]
        if noisy:
            row.append(_number(result.summary(noisy=True)["best5"]))
        rows.append([*row, f"{summary['diverged']:.0f} of {len(result.kl)}", f"{result.seconds / 60:.1f}"])
    head = ["method", "settings", "mean of 5 best", "mean ± std of all", "best"]
    return markdown([*head, *(["5 best, noisy density"] if noisy else []), "diverged", "core minutes"], rows)


def verdict(results: Sequence[Result]) -> str:
    """Whether NCE+ is best, or within one standard deviation of the best, in the mean of the 5 best and of all.

    Args:
        results: results of one data set, those of the main table.
    """
    summaries = {result.unit.method: result.summary() for result in results}
    if "nceplus" not in summaries:
        return ""
    mine, lines = summaries["nceplus"], []
    for key, words in (("best5", "mean of the 5 best"), ("mean", "mean of all models")):
        finite = [name for name in summaries if not math.isnan(summaries[name][key])]
        best = min(finite, key=lambda name: summaries[name][key])
        if best == "nceplus":
            lines.append(f"By the {words}, NCE+ is the best ({mine[key]:.4f}).")
            continue
        gap, spread = mine[key] - summaries[best][key], summaries[best]["std"]
        within = "within" if gap <= spread else "more than"
        lines.append(
            f"By the {words}, {METHODS[best].label} is the best ({summaries[best][key]:.4f}); NCE+ ({mine[key]:.4f}) "
            f"is {within} one standard deviation of it ({gap:.4f} against {spread:.4f})."
        )
    others = {result.unit.method: result for result in results}
    if "nce" in others:
        paired = _paired(others["nceplus"], others["nce"])
        lines.append(f"NCE+ minus NCE, paired by seed, with 95 % interval: {paired}.")
    return " ".join(lines)


def paired_difference(one: Result, other: Result, noisy: bool = False) -> tuple[float, float]:
    """Mean of KL of `one` minus that of `other` over models of the same seed, and half its 95 % interval.

    Models share initial weights, data and its order, so the difference is surer than the two means' spreads suggest.
    """
    pairs = zip(*((r.kl_noisy if noisy else r.kl) for r in (one, other)))
    gaps = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    if len(gaps) < 2:
        return math.nan, math.nan
    mean, deviation = spread(gaps)
    return mean, 1.96 * deviation / math.sqrt(len(gaps))


def _paired(one: Result, other: Result, noisy: bool = False) -> str:
    mean, half = paired_difference(one, other, noisy)
    return "–" if math.isnan(mean) else f"{mean:+.4f} ± {half:.4f}"


def noise_table(results: Sequence[Result]) -> str:
    """Markdown: NCE+ minus NCE by the labels' noise and beta, paired by seed, from the clean and the noisy density.

    Args:
        results: results of one data set, those of the label noise study.
    """
    base = {r.unit.settings.label_noise: r for r in results if r.unit.method == "nce"}
    mine = {(r.unit.settings.label_noise, r.unit.settings.beta): r for r in results if r.unit.method == "nceplus"}
    betas = sorted({beta for _, beta in mine})
    rows = []
    for noise in sorted(base):
        for noisy, words in ((False, "clean"), (True, "noisy")):
            if noisy and noise == 0:
                continue
            cells = [_paired(mine[noise, beta], base[noise], noisy) if (noise, beta) in mine else "" for beta in betas]
            rows.append([f"{noise:g}", words, _number(base[noise].summary(noisy)["mean"]), *cells])
    return markdown(["noise", "density", "NCE, mean of all", *(f"NCE+ {beta:g} − NCE" for beta in betas)], rows)


# Title, how the results' tags begin, whether the noisy density counts.
_SECTIONS = (
    ("NCE+ by beta (beta0: NCE)", "beta", False),
    ("NCE+ by sigma (the other component has 8 times as much)", "sigma", False),
    ("Noisy labels", "noise", True),
)


def _main_table(results: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """The results at the largest M (and those without M), and all others of the main study."""
    main = [result for result in results if not result.unit.tag]
    drawn = [result.unit.settings.samples for result in main if METHODS[result.unit.method].draws]
    top = max(drawn, default=0)
    first = [r for r in main if not METHODS[r.unit.method].draws or r.unit.settings.samples == top]
    return first, [result for result in main if result not in first]


def tables(results: Sequence[Result]) -> str:
    """All tables of the results as Markdown: the main one of each data set, the verdict, and the smaller studies."""
    parts = []
    for name, data in DATA_SETS.items():
        mine = [result for result in results if result.unit.dataset == name]
        first, others = _main_table(mine)
        if first:
            parts += [f"**{data.title}**: KL(true ‖ model), {_scale(first)}", table(first), verdict(first)]
        if others:
            parts += [f"**{data.title}**: fewer samples, mean of the 5 best", _by_samples([*first, *others])]
        for title, prefix, noisy in _SECTIONS:
            part = [result for result in mine if result.unit.tag.startswith(prefix)]
            if part:
                parts += [f"**{data.title}**: {title}, {_scale(part)}", table(part, noisy)]
                if noisy:
                    parts += ["NCE+ minus NCE (negative: NCE+ is better), paired by seed:", noise_table(part)]
    return "\n\n".join(part for part in parts if part)


def _scale(results: Sequence[Result]) -> str:
    """How large the runs were."""
    settings = results[0].unit.settings
    return f"{settings.models} models, {settings.epochs} epochs, grid {settings.grid} x {settings.grid}"


def _by_samples(results: Sequence[Result]) -> str:
    counts = sorted({r.unit.settings.samples for r in results if METHODS[r.unit.method].draws})
    found = {(r.unit.method, r.unit.settings.samples): _number(r.summary()["best5"]) for r in results}
    rows = [
        [choice.label, *(found.get((name, count), "") for count in counts)]
        for name, choice in METHODS.items()
        if choice.draws and any((name, count) in found for count in counts)
    ]
    return markdown(["method", *(f"M {count}" for count in counts)], rows)


def write_docs(results: Sequence[Result], folder: Path, page: Path, card: Path) -> list[Path]:
    """Put tables and figures of the results into the documentation; returns what is there then.

    Results of the card that are not among these stay in it and on the page.

    Args:
        folder: folder of the results, for the weights.
        page: a Markdown file with the lines `<!-- results -->` and `<!-- end -->`; figures go to `images` beside it.
        card: JSON file for the results themselves.

    Raises:
        UserError: the page has no marks.
    """
    names = {result.unit.name for result in results}
    before = load_results(card) if card.is_file() else []
    results = [*results, *(result for result in before if result.unit.name not in names)]
    text = page.read_text(encoding="utf-8")
    fill(text, {"results": ""}, str(page))
    images = figures.draw_all(results, folder, page.parent / "images")
    pictures = "\n\n".join(f"![{figures.caption(path)}](images/{path.name})" for path in images)
    write_text(page, fill(text, {"results": f"\n{tables(results)}\n\n{pictures}\n"}, str(page)))
    return [page, *images, write_card(results, card)]
