"""Scores of trackers on sequences: curves, the metrics read from them, and both as pandas tables."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ltr.dataset.layout import attribute_names
from ltr.errors import UserError, check_names, unknown_name
from pytracking.analysis.protocol import NORMALISED, OVERLAPS, PIXELS, PRECISION_AT, Protocol, SequenceCurves

if TYPE_CHECKING:
    import pandas as pd


class Plot(NamedTuple):
    """A kind of curve, and how it is shown.

    Attributes:
        title, xlabel, ylabel: title of the plot and labels of its axes.
        field: field of `SequenceCurves`.
        thresholds: its thresholds.
        read_at: index of the threshold at which the metric is read; None where that is the protocol's headline.
    """

    title: str
    xlabel: str
    ylabel: str
    field: str
    thresholds: np.ndarray
    read_at: int | None


_SMALLER = "Frames with a smaller error [%]"
PLOTS = {
    "success": Plot("Success", "Overlap threshold", "Frames with a higher overlap [%]", "success", OVERLAPS, None),
    "prec": Plot("Precision", "Centre error threshold [px]", _SMALLER, "precision", PIXELS, PRECISION_AT),
    "norm_prec": Plot(
        "Normalised precision",
        "Centre error threshold [target sizes]",
        _SMALLER,
        "norm_precision",
        NORMALISED,
        PRECISION_AT,
    ),
}


@dataclass(frozen=True)
class Curves:
    """One kind of curve of K trackers on S sequences.

    Attributes:
        sequences: S names.
        trackers: K labels.
        thresholds: [N].
        values: [S, K, N] part of the frames, in percent.
        metric: [S, K] metric that ranks the curves, in percent.
    """

    sequences: list[str]
    trackers: list[str]
    thresholds: np.ndarray
    values: np.ndarray
    metric: np.ndarray

    def to_pandas(self) -> pd.DataFrame:
        """One row a sequence, tracker and threshold: columns sequence, tracker, threshold, value (in percent)."""
        import pandas as pd

        levels = [self.sequences, self.trackers, list(self.thresholds)]
        index = pd.MultiIndex.from_product(levels, names=["sequence", "tracker", "threshold"])
        return pd.DataFrame({"value": self.values.ravel()}, index).reset_index()


@dataclass(frozen=True)
class Scores:
    """Curves of R runs of K trackers on S sequences. What a property has of a tracker is the mean over its runs.

    Attributes:
        protocol: how they were made.
        datasets: S names of the sequences' data sets.
        sequences: S names.
        columns: label of a tracker -> the columns of its runs, in order.
        run_ids: R numbers of the runs; None where a run has none.
        names: R 'tracker/parameters', under which the runs' results lie.
        results: S rows of R, the curves of every run.
        frames: [S] number of frames.
        attributes: S tuples of short names of the sequences' challenges; None where nothing is known.
        seconds: [S, R] time that a run took for a sequence; NaN where it was not recorded.
        flags: S rows of R, what a reader of a result should know, such as 'imported'; '' where nothing.
        excludes_invalid: whether frames without a valid annotation are left out of the divisor.
        notes: what a reader of the numbers should know.
    """

    protocol: Protocol
    datasets: list[str]
    sequences: list[str]
    columns: dict[str, list[int]]
    run_ids: list[int | None]
    names: list[str]
    results: list[list[SequenceCurves]]
    frames: np.ndarray
    attributes: list[tuple[str, ...] | None]
    seconds: np.ndarray
    flags: list[list[str]]
    excludes_invalid: bool
    notes: list[str]

    @property
    def dataset(self) -> str:
        """Names of the data sets, joined by '+'."""
        return "+".join(dict.fromkeys(self.datasets))

    @property
    def trackers(self) -> list[str]:
        """K labels."""
        return list(self.columns)

    @cached_property
    def weights(self) -> np.ndarray:
        """[S] what a sequence counts in a data set's mean: 1, or its valid frames where frames are pooled."""
        # Valid frames are the annotation's, and so the same for every run.
        pooled = self.protocol.pooling == "frames"
        return np.array([row[0].valid_frames if pooled else 1.0 for row in self.results], np.float64)

    @cached_property
    def mean_overlap(self) -> np.ndarray:
        """[S, K] mean overlap of the valid frames, in [0, 1]."""
        return self._merged([[item.mean_overlap for item in row] for row in self.results])

    @property
    def plot_types(self) -> tuple[str, ...]:
        """The keys of `PLOTS` that the protocol has curves for."""
        return tuple(PLOTS) if self.protocol.has_precision else ("success",)

    def curves(self, key: str) -> Curves:
        """The curves of one kind. Raises `UserError` for a kind that is not a key of `PLOTS`."""
        check_names("plot type", [key], PLOTS)
        return self._curves[key]

    @cached_property
    def _curves(self) -> dict[str, Curves]:
        found = {}
        for key, plot in PLOTS.items():
            values = 100 * self._merged([[getattr(item, plot.field) for item in row] for row in self.results])
            metric = self.headline if plot.read_at is None else values[:, :, plot.read_at]
            found[key] = Curves(self.sequences, self.trackers, plot.thresholds, values, metric)
        return found

    @cached_property
    def auc(self) -> np.ndarray:
        """[S, K] area under the success curve (its mean, or as the protocol says), in percent."""
        return 100 * self.protocol.auc(self._merged([[item.success for item in row] for row in self.results]))

    @property
    def headline(self) -> np.ndarray:
        """[S, K] the metric that ranks trackers under the protocol, AUC or average overlap, in percent."""
        return 100 * self.mean_overlap if self.protocol.headline == "ao" else self.auc

    @property
    def headline_name(self) -> str:
        """'AUC' or 'AO'."""
        return self.protocol.headline.upper()

    def overlap_precision(self, threshold: float) -> np.ndarray:
        """[S, K] part of frames with an overlap above `threshold`, in percent (OP50: 0.5)."""
        index = np.flatnonzero(np.isclose(OVERLAPS, threshold))
        if len(index) != 1:
            raise ValueError(f"there is no overlap threshold {threshold}")
        return self.curves("success").values[:, :, index[0]]

    @property
    def precision(self) -> np.ndarray:
        """[S, K] precision at the protocol's distance (20 px), in percent."""
        return self.curves("prec").metric

    @property
    def norm_precision(self) -> np.ndarray:
        """[S, K] normalised precision at the protocol's distance (0.20), in percent."""
        return self.curves("norm_prec").metric

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """Title of a column, such as 'OP50', -> [S, K] in percent; the headline metric is the first."""
        average = self.protocol.headline == "ao"
        found = {
            self.headline_name: self.headline,
            "SR0.5" if average else "OP50": self.overlap_precision(0.5),
            "SR0.75" if average else "OP75": self.overlap_precision(0.75),
        }
        if self.protocol.has_precision:
            found |= {"Precision": self.precision, "Norm. precision": self.norm_precision}
        return found

    def mean(self, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Values of sequences [S, ...] -> of the data set [...], over all sequences or those of `rows` ([S] bool).

        NaN where no sequence is left to count.
        """
        counted = (self.weights > 0) & (np.ones(len(self.weights), bool) if rows is None else rows)
        if not counted.any():
            return np.full(values.shape[1:], np.nan)
        return np.average(values[counted], axis=0, weights=self.weights[counted])

    @property
    def ranking(self) -> list[int]:
        """Columns of the trackers, best headline metric first; equal ones keep their order."""
        return [int(k) for k in np.argsort(-self.mean(self.headline), kind="stable")]

    def spread(self, rows: np.ndarray | None = None) -> np.ndarray:
        """[K] standard deviation over runs (divisor R - 1) of the headline metric, in percent; NaN for a single run.

        Args:
            rows: [S] bool, the sequences that count; all when left out.
        """
        runs = self.mean(self.per_run().headline, rows)
        return np.array([runs[c].std(ddof=1) if len(c) > 1 else np.nan for c in self.columns.values()])

    def per_run(self) -> Scores:
        """The same scores with every run as a tracker of its own, called by its column's number."""
        return dataclasses.replace(self, columns={str(column): [column] for column in range(len(self.run_ids))})

    @property
    def fps(self) -> np.ndarray:
        """[K] frames a second over all sequences, initialisation included, reading images excluded; NaN if unknown."""
        seconds = self._merged(self.seconds).sum(axis=0)
        return np.divide(self.frames.sum(), seconds, out=np.full(len(seconds), np.nan), where=seconds > 0)

    def column(self, tracker: str) -> int:
        """The number of the tracker with that label, or with that name ('tracker/parameters') where one alone has it.

        Raises:
            UserError: no such tracker (the nearest is named), or several of that name.
        """
        if tracker in self.columns:
            return self.trackers.index(tracker)
        named = [k for k, runs in enumerate(self.columns.values()) if tracker in {self.names[run] for run in runs}]
        if len(named) > 1:
            raise UserError(f"tracker '{tracker}' has several runs: {', '.join(self.trackers[k] for k in named)}")
        if not named:
            raise unknown_name("tracker", tracker, [*self.columns, *self.names])
        return named[0]

    def attribute_rows(self) -> dict[str, np.ndarray]:
        """Attribute -> [S] bool, the sequences that have it; in alphabetical order.

        Raises:
            UserError: no sequence has attributes.
        """
        names = sorted({name for attributes in self.attributes for name in attributes or ()})
        if not names:
            raise UserError(f"no attributes are known for the sequences of {self.dataset}")
        return {name: np.array([name in (attributes or ()) for attributes in self.attributes]) for name in names}

    def attribute_legend(self) -> str:
        """What the short names of `attribute_rows` stand for: 'FM fast motion, SV scale variation'."""
        known = attribute_names()
        return ", ".join(f"{name} {known[name]}" for name in self.attribute_rows() if name in known)

    def to_pandas(self) -> pd.DataFrame:
        """One row a sequence, tracker and run.

        Returns:
            Columns dataset, sequence, tracker (its label), run (its number, or missing), AUC, AO (average overlap),
            OP50, OP75, precision and norm_precision (missing where the protocol has none), all in percent; fps, seconds
            (missing where they were not recorded), frames, valid_frames, weight (what the sequence counts in a mean),
            attributes (a tuple), flags (what is unusual about the result, such as 'imported'; '' where nothing is).
        """
        import pandas as pd

        single, shape = self.per_run(), (len(self.sequences), len(self.run_ids))
        labels = [label for label, columns in self.columns.items() for _ in columns]
        order = [column for columns in self.columns.values() for column in columns]
        blank = np.full(shape, np.nan)
        values = {
            "AUC": single.auc,
            "AO": 100 * single.mean_overlap,
            "OP50": single.overlap_precision(0.5),
            "OP75": single.overlap_precision(0.75),
            "precision": single.precision if self.protocol.has_precision else blank,
            "norm_precision": single.norm_precision if self.protocol.has_precision else blank,
            "fps": np.divide(self.frames[:, None], self.seconds, out=blank.copy(), where=self.seconds > 0),
            "seconds": self.seconds,
            "frames": np.broadcast_to(self.frames[:, None], shape),
            "valid_frames": np.array([[item.valid_frames for item in row] for row in self.results]),
            "weight": np.broadcast_to(self.weights[:, None], shape),
        }
        per_sequence = {"dataset": self.datasets, "sequence": self.sequences}
        return pd.DataFrame(
            {
                **{name: np.repeat(np.array(column, object), shape[1]) for name, column in per_sequence.items()},
                "tracker": labels * shape[0],
                "run": pd.array([self.run_ids[column] for column in order] * shape[0], dtype="Int64"),
                **{name: array[:, order].ravel() for name, array in values.items()},
                "attributes": [attributes or () for attributes in self.attributes for _ in self.run_ids],
                "flags": [row[column] for row in self.flags for column in order],
            }
        )

    def _merged(self, values: object) -> np.ndarray:
        """The mean of [S, R, ...] over the runs of each tracker: [S, K, ...]."""
        array = np.asarray(values, np.float64)
        return np.stack([array[:, columns].mean(axis=1) for columns in self.columns.values()], axis=1)
