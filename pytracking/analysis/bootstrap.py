"""Confidence interval of the difference of two trackers: a paired bootstrap over sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.errors import unknown_name
from pytracking.analysis.extract import Scores
from pytracking.analysis.tables import footer, format_table, ranking

# Draws of sequences are made in blocks, so that many samples of many sequences fit into memory.
_BLOCK = 1000


@dataclass(frozen=True)
class Difference:
    """First tracker minus second.

    Attributes:
        mean: of the data set's figures, in their unit.
        low, high: percentile interval of `level`.
        level: part of the bootstrap's samples inside the interval.
        samples: number of samples.
        seed: of the generator.
    """

    mean: float
    low: float
    high: float
    level: float
    samples: int
    seed: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Resample sequences with replacement, the same for both trackers; the interval is that of percentiles.

    It tells how much depends on which sequences are in the data set, not on the randomness of a run.

    Args:
        first, second: [S] figures of the sequences.
        weights: [S] what a sequence counts; equal when left out.
        samples: number of resamplings.
        level: of the interval, between 0 and 1.
        seed: of the generator; the same seed gives the same interval.

    Raises:
        ValueError: the figures are not of one length, or there are none, or the level is not between 0 and 1.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"expected two rows of figures of one length, got {list(first.shape)}, {list(second.shape)}")
    if not 0 < level < 1:
        raise ValueError(f"a level between 0 and 1, not {level}")
    weights = np.ones(len(first)) if weights is None else weights
    kept = weights > 0
    difference, weights = (first - second)[kept], weights[kept]
    rng = np.random.default_rng(seed)
    means = []
    for begin in range(0, samples, _BLOCK):
        drawn = rng.integers(0, len(difference), (min(_BLOCK, samples - begin), len(difference)))
        means.append((difference[drawn] * weights[drawn]).sum(axis=1) / weights[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(np.average(difference, weights=weights)), float(low), float(high), level, samples, seed)


def difference_table(scores: Scores, reference: str, markdown: bool = False, seed: int = 0) -> str:
    """Every tracker against one of them: difference of the headline figure, and its interval of 95 %.

    Args:
        scores: from `extract_scores`.
        reference: label of the tracker to compare with.
        markdown: with the bars of Markdown.
        seed: of the bootstrap.

    Raises:
        UserError: no tracker of that label.
    """
    if reference not in scores.trackers:
        raise unknown_name("tracker", reference, scores.trackers)
    base = scores.trackers.index(reference)
    rows = []
    for k in ranking(scores):
        if k != base:
            found = paired_difference(
                scores.headline[:, k], scores.headline[:, base], weights=scores.weights, seed=seed
            )
            told = "yes" if found.excludes_zero else "no"
            rows.append([scores.trackers[k], f"{found.mean:+.2f}", f"{found.low:+.2f} ... {found.high:+.2f}", told])
    header = [f"{scores.protocol.headline.upper()} against {reference}", "difference", "95 %", "told apart"]
    rule = f"paired bootstrap over {len(scores.sequences)} sequences, 10000 samples, seed {seed}"
    return f"{format_table(header, rows, markdown)}\n{chr(10) if markdown else ''}{rule}\n{footer(scores)}"
