"""From raw results on disk to the curves of every tracker on every sequence, under a named protocol."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.errors import UserError
from pytracking.analysis.curves import Protocol, SequenceCurves
from pytracking.analysis.protocol import get_protocol
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.foreign import is_foreign
from pytracking.evaluation.results import load_result
from pytracking.evaluation.tracker import TrackerRun


@dataclass(frozen=True)
class Scores:
    """Curves of K trackers on S sequences, as parts of 1.

    Attributes:
        protocol: how they were made.
        dataset: names of the data sets, joined by '+'.
        sequences: S names.
        trackers: K labels.
        success: [S, K, 21].
        precision: [S, K, 51].
        norm_precision: [S, K, 51].
        mean_overlap: [S, K], over valid frames.
        frames: [S] number of frames.
        weights: [S] what a sequence counts in a data set's mean: 1, or its valid frames where frames are pooled.
        attributes: S tuples of short names of the sequences' challenges; None where nothing is known.
        runs: K arrays [S, R] with the headline figure of each run that a tracker's column is the mean of, in percent.
        seconds: [S, K] time that a tracker took for a sequence; NaN where it was not recorded.
        excludes_invalid: whether frames without a valid annotation are left out of the divisor.
        notes: what a reader of the numbers should know.
    """

    protocol: Protocol
    dataset: str
    sequences: list[str]
    trackers: list[str]
    success: np.ndarray
    precision: np.ndarray
    norm_precision: np.ndarray
    mean_overlap: np.ndarray
    frames: np.ndarray
    weights: np.ndarray
    attributes: list[tuple[str, ...] | None]
    runs: list[np.ndarray]
    seconds: np.ndarray
    excludes_invalid: bool
    notes: list[str]

    @property
    def auc(self) -> np.ndarray:
        """[S, K] area under the success curve (its mean, or as the protocol says), in percent."""
        return 100 * self.protocol.auc(self.success)

    @property
    def headline(self) -> np.ndarray:
        """[S, K] the figure that ranks trackers under the protocol, AUC or average overlap, in percent."""
        return 100 * self.mean_overlap if self.protocol.headline == "ao" else self.auc

    def mean(self, figures: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Figures of sequences [S, ...] -> of the data set [...], over all sequences or those of `rows` ([S] bool).

        NaN where no sequence is left to count.
        """
        counted = (self.weights > 0) & (np.ones(len(self.weights), bool) if rows is None else rows)
        if not counted.any():
            return np.full(figures.shape[1:], np.nan)
        return np.average(figures[counted], axis=0, weights=self.weights[counted])

    @property
    def run_figures(self) -> list[np.ndarray]:
        """K arrays [R]: the data set's headline figure in each run of a tracker, in percent."""
        return [self.mean(figures) for figures in self.runs]

    @property
    def deviation(self) -> np.ndarray:
        """[K] standard deviation of the headline figure over runs (divisor R - 1), in percent; NaN for a single run."""
        return np.array([runs.std(ddof=1) if len(runs) > 1 else np.nan for runs in self.run_figures])

    def overlap_precision(self, threshold: float) -> np.ndarray:
        """[S, K] part of frames with an overlap above `threshold`, in percent (OP50: 0.5)."""
        index = np.flatnonzero(np.isclose(self.protocol.overlap_thresholds, threshold))
        if len(index) != 1:
            raise ValueError(f"the protocol has no overlap threshold {threshold}")
        return 100 * self.success[:, :, index[0]]

    @property
    def precision_figure(self) -> np.ndarray:
        """[S, K] precision at the protocol's distance (20 px), in percent."""
        return 100 * self.precision[:, :, self.protocol.precision_at]

    @property
    def norm_precision_figure(self) -> np.ndarray:
        """[S, K] normalised precision at the protocol's distance (0.20), in percent."""
        return 100 * self.norm_precision[:, :, self.protocol.norm_precision_at]

    @property
    def fps(self) -> np.ndarray:
        """[K] frames a second over all sequences, initialisation included, reading images excluded; NaN if unknown."""
        seconds = self.seconds.sum(axis=0)
        return np.divide(self.frames.sum(), seconds, out=np.full(len(seconds), np.nan), where=seconds > 0)


def extract_scores(
    trackers: Listing[TrackerRun],
    dataset: Listing[Sequence],
    results: Path,
    *,
    protocol: str = "pytracking",
    exclude_invalid_frames: bool = False,
    skip_missing_seq: bool = False,
    merge_results: bool = False,
) -> Scores:
    """Read the results of trackers on sequences and evaluate them; nothing is cached.

    Args:
        trackers: from `trackerlist`.
        dataset: from `get_dataset`.
        results: folder of raw results.
        protocol: name of the protocol.
        exclude_invalid_frames: leave frames without a valid annotation out of the divisor.
        skip_missing_seq: leave out, for all trackers, a sequence that one has no result for; an error otherwise.
        merge_results: average the runs of one tracker with one parameter name.

    Raises:
        UserError: nothing to evaluate, a missing or damaged result, or sequences without annotation.
    """
    if not trackers or not dataset:
        raise UserError("nothing to evaluate: " + ("no sequences" if trackers else "no trackers"))
    chosen = get_protocol(protocol)
    notes: list[str] = []
    present = _with_results(trackers, dataset, results, skip_missing_seq, notes)
    curves: list[list[SequenceCurves]] = []
    seconds = np.full((len(present), len(trackers)), np.nan)
    foreign = [0] * len(trackers)
    for row, sequence in enumerate(present):
        if not sequence.has_ground_truth:
            raise UserError(f"{sequence.annotation_path}: only the first box is known; '{sequence.name}' has no score")
        curves.append([])
        for column, run in enumerate(trackers):
            folder = run.result_folder(results)
            raw = load_result(folder, sequence)
            try:
                scored = chosen.curves(
                    raw.boxes,
                    sequence.ground_truth_rect,
                    sequence.target_visible,
                    sequence.dataset,
                    exclude_invalid_frames,
                    sequence.image_size if chosen.uses_image_size and sequence.frames[0].exists() else None,
                )
            except UserError as error:
                raise UserError(f"{folder / sequence.name}.txt: {error}") from None
            curves[-1].append(scored)
            foreign[column] += is_foreign(folder, sequence.name)
            if scored.note:
                notes.append(f"{run.label} on {sequence.name}: {scored.note}")
            if raw.times is not None:
                seconds[row, column] = raw.times.sum()
    imported = [run.label for run, count in zip(trackers, foreign) if count]
    if imported:
        notes.append(f"boxes of another program, imported: {', '.join(dict.fromkeys(imported))}")
    groups = _groups(trackers, merge_results)
    figures = np.array([[100 * _headline(chosen, item) for item in row] for row in curves])
    return Scores(
        protocol=chosen,
        dataset="+".join(dict.fromkeys(sequence.dataset for sequence in present)),
        sequences=[sequence.name for sequence in present],
        trackers=list(groups),
        success=_merged([[item.success for item in row] for row in curves], groups),
        precision=_merged([[item.precision for item in row] for row in curves], groups),
        norm_precision=_merged([[item.norm_precision for item in row] for row in curves], groups),
        mean_overlap=_merged([[item.mean_overlap for item in row] for row in curves], groups),
        frames=np.array([len(sequence.frames) for sequence in present]),
        weights=_weights(chosen, curves),
        attributes=[sequence.attributes for sequence in present],
        runs=[figures[:, columns] for columns in groups.values()],
        seconds=_merged(seconds, groups),
        excludes_invalid=exclude_invalid_frames,
        notes=notes,
    )


def _with_results(
    trackers: Listing[TrackerRun], dataset: Listing[Sequence], results: Path, skip: bool, notes: list[str]
) -> list[Sequence]:
    """The sequences that every tracker has a result for."""
    present, missing = [], []
    for sequence in dataset:
        files = [run.result_folder(results) / f"{sequence.name}.txt" for run in trackers]
        absent = [file for file in files if not file.exists()]
        if absent:
            missing.append((sequence.name, absent[0]))
        else:
            present.append(sequence)
    if missing and (not skip or not present):
        name, file = missing[0]
        raise UserError(
            f"{file}: no result on '{name}'"
            + (f" (and {len(missing) - 1} more sequences)" if len(missing) > 1 else "")
            + "; run the tracker first"
            + ("" if skip else ", or leave such sequences out with skip_missing_seq")
        )
    if missing:
        names = ", ".join(name for name, _ in missing)
        notes.append(f"{len(missing)} of {len(dataset)} sequences left out for want of a result: {names}")
    return present


def _headline(protocol: Protocol, curves: SequenceCurves) -> float:
    return curves.mean_overlap if protocol.headline == "ao" else float(protocol.auc(curves.success))


def _weights(protocol: Protocol, curves: list[list[SequenceCurves]]) -> np.ndarray:
    """[S] valid frames, which are the annotation's and so the same for every tracker, or 1 for each sequence."""
    return np.array([row[0].valid_frames if protocol.pooling == "frames" else 1.0 for row in curves], np.float64)


def _groups(trackers: Listing[TrackerRun], merge: bool) -> dict[str, list[int]]:
    """Label -> columns of the runs that it stands for."""
    groups: dict[str, list[int]] = {}
    owners: dict[str, TrackerRun] = {}
    for column, run in enumerate(trackers):
        label = run.label if not merge else (run.display_name or f"{run.name}/{run.parameter_name}")
        first = owners.setdefault(label, run)
        same = (first.name, first.parameter_name) == (run.name, run.parameter_name)
        if label in groups and not (merge and same):
            # Several runs share a display name: tell them apart by the run's number or by their full name.
            label = f"{label} ({run.parameter_name if run.run_id is None else f'{run.run_id:03d}'})"
            if label in groups:
                raise UserError(f"two trackers would be shown as '{label}'; give them different display names")
        groups.setdefault(label, []).append(column)
    return groups


def _merged(values: object, groups: dict[str, list[int]]) -> np.ndarray:
    """Average [S, runs, ...] over the runs of each group: [S, K, ...]."""
    array = np.asarray(values, np.float64)
    return np.stack([array[:, columns].mean(axis=1) for columns in groups.values()], axis=1)
