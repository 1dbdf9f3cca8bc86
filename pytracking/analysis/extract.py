"""From raw results on disk to the scores of every tracker on every sequence, under a named protocol."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from pathlib import Path

import numpy as np

from ltr.errors import UserError, list_some
from pytracking.analysis.protocol import Protocol, SequenceCurves, get_protocol
from pytracking.analysis.scores import Scores
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.foreign import is_foreign
from pytracking.evaluation.results import RawResult, load_result
from pytracking.evaluation.tracker import TrackerRun


def extract_scores(
    trackers: Listing[TrackerRun],
    dataset: Listing[Sequence],
    results: Path,
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
    flags: list[list[str]] = []
    seconds = np.full((len(present), len(trackers)), np.nan)
    imported: dict[str, None] = {}
    for row, sequence in enumerate(present):
        if not sequence.has_ground_truth:
            raise UserError(f"{sequence.annotation_path}: only the first box is known; '{sequence.name}' has no score")
        curves.append([])
        flags.append([])
        for column, run in enumerate(trackers):
            folder = run.result_folder(results)
            raw = load_result(folder, sequence)
            scored = _score(chosen, raw, sequence, exclude_invalid_frames, folder)
            curves[-1].append(scored)
            foreign = is_foreign(folder, sequence.name)
            flags[-1].append("; ".join(filter(None, ("imported" if foreign else "", scored.note))))
            if foreign:
                imported[run.label] = None
            if scored.note:
                notes.append(f"{run.label} on {sequence.name}: {scored.note}")
            if raw.times is not None:
                seconds[row, column] = raw.times.sum()
    if imported:
        notes.append(f"boxes of another program, imported: {', '.join(imported)}")
    return Scores(
        protocol=chosen,
        datasets=[sequence.dataset for sequence in present],
        sequences=[sequence.name for sequence in present],
        columns=_columns(trackers, merge_results),
        run_ids=[run.run_id for run in trackers],
        names=[f"{run.name}/{run.parameter_name}" for run in trackers],
        results=curves,
        frames=np.array([len(sequence.frames) for sequence in present]),
        attributes=[sequence.attributes for sequence in present],
        seconds=seconds,
        flags=flags,
        excludes_invalid=exclude_invalid_frames,
        notes=notes,
    )


def _score(chosen: Protocol, raw: RawResult, sequence: Sequence, exclude_invalid: bool, folder: Path) -> SequenceCurves:
    try:
        return chosen.curves(
            raw.boxes,
            sequence.ground_truth_rect,
            sequence.target_visible,
            sequence.dataset,
            exclude_invalid,
            sequence.image_size if chosen.uses_image_size and sequence.frames[0].exists() else None,
        )
    except UserError as error:
        raise UserError(f"{folder / sequence.name}.txt: {error}") from None


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
        for run in trackers:
            if not run.result_folder(results).is_dir():
                command = f"run_tracker.py {run.name} {run.parameter_name} --dataset_name {dataset[0].dataset}"
                raise UserError(f"{run.label} has no results in {results}; make them by `{command}`, or give --results")
        raise UserError(
            f"{file}: no result on '{name}'"
            + (f" (and {len(missing) - 1} more sequences)" if len(missing) > 1 else "")
            + "; run the tracker first"
            + ("" if skip else ", or leave such sequences out with --skip_missing_seq (skip_missing_seq=True)")
        )
    if missing:
        names = list_some(name for name, _ in missing)
        notes.append(f"{len(missing)} of {len(dataset)} sequences left out, as they have no result: {names}")
    return present


def _columns(trackers: Listing[TrackerRun], merge: bool) -> dict[str, list[int]]:
    """Label -> columns of the runs that it stands for."""
    columns: dict[str, list[int]] = {}
    owners: dict[str, TrackerRun] = {}
    for column, run in enumerate(trackers):
        label = run.label if not merge else (run.display_name or f"{run.name}/{run.parameter_name}")
        first = owners.setdefault(label, run)
        same = (first.name, first.parameter_name) == (run.name, run.parameter_name)
        if label in columns and not (merge and same):
            # Several runs share a display name: the run's number or their full name distinguishes them.
            label = f"{label} ({run.parameter_name if run.run_id is None else f'{run.run_id:03d}'})"
            if label in columns:
                raise UserError(f"two trackers would be shown as '{label}'; give them different display names")
        columns.setdefault(label, []).append(column)
    return columns
