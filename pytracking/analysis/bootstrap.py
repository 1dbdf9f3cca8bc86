"""Confidence interval of the difference of two trackers: a paired bootstrap over sequences.

Own code, since scipy's bootstrap takes no weights of the sequences, which protocols that pool frames need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytracking.analysis.scores import Scores

# Draws of sequences are made in blocks, so that many samples of many sequences fit into memory.
_BLOCK = 1000
# Percentile intervals of fewer sequences are too narrow, and say more of the method than of the trackers.
FEWEST_SEQUENCES = 8


@dataclass(frozen=True)
class Difference:
    """First tracker minus second.

    Attributes:
        mean: difference of the data set's metrics, in their unit.
        low, high: percentile interval.
        sequences: number of sequences that were resampled.
    """

    mean: float
    low: float
    high: float
    sequences: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def too_few(self) -> bool:
        """Whether there are too few sequences for the interval to be trusted, whatever it excludes."""
        return self.sequences < FEWEST_SEQUENCES

    @property
    def verdict(self) -> str:
        """'yes' or 'no', whether the interval excludes 0; 'too few' where it is not to be trusted."""
        return "too few" if self.too_few else "yes" if self.excludes_zero else "no"


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
        first, second: [S] metric of the sequences.
        weights: [S] what a sequence counts; equal when left out.
        samples: number of resamplings.
        level: level of the interval, between 0 and 1.
        seed: seed of the generator; the same seed gives the same interval.

    Raises:
        ValueError: the metrics are not of one length, or there are none, or the level is not between 0 and 1.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"expected two rows of metrics of one length, got {list(first.shape)}, {list(second.shape)}")
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
    mean = float(np.average(difference, weights=weights))
    return Difference(mean, float(low), float(high), len(difference))


def tracker_difference(
    scores: Scores, first: str, second: str, rows: np.ndarray | None = None, seed: int = 0
) -> Difference:
    """Difference of the headline metric of two trackers, by `paired_difference`.

    Args:
        scores: from `extract_scores`.
        first, second: labels of two of its trackers.
        rows: [S] bool, the sequences that count; all when left out.
        seed: seed of the bootstrap.

    Raises:
        UserError: no tracker of that label.
    """
    columns = [scores.column(label) for label in (first, second)]
    kept = np.ones(len(scores.sequences), bool) if rows is None else rows
    ours, theirs = scores.headline[kept][:, columns].T
    return paired_difference(ours, theirs, weights=scores.weights[kept], seed=seed)
