"""What a user of results calls: plots and tables of trackers on a data set."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Sequence as Listing
from pathlib import Path

import numpy as np

from ltr.admin.inputs import check_name
from ltr.errors import UserError, check_names, printable
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.plots import draw_curves, save_figure
from pytracking.analysis.scores import PLOTS, Scores
from pytracking.analysis.tables import per_sequence_table, results_table
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.tracker import TrackerRun, results_root

_FOLDER = Path("results") / "result_plots"
_FILTERS = ("ao_min", "ao_max", "delta_ao")


def plot_results(
    trackers: Listing[TrackerRun],
    dataset: Listing[Sequence],
    report_name: str,
    merge_results: bool = False,
    plot_types: Iterable[str] = ("success",),
    force_evaluation: bool = False,
    plot_bin_gap: float = 0.05,
    *,
    results: str | os.PathLike[str] | None = None,
    plot_path: str | os.PathLike[str] | None = None,
    protocol: str = "pytracking",
    exclude_invalid_frames: bool = False,
    skip_missing_seq: bool = False,
) -> list[Path]:
    """Draw the success, precision and normalised precision plots.

    Args:
        trackers: from `trackerlist`.
        dataset: from `get_dataset`.
        report_name: names the folder of the plots.
        merge_results: average the runs of one tracker with one parameter name.
        plot_types: any of 'success', 'prec' and 'norm_prec'.
        force_evaluation: for calls written for PyTracking; as nothing is cached here, it changes nothing.
        plot_bin_gap: for calls written for PyTracking; the thresholds are the protocol's, 0.05 apart.
        results: folder of raw results (see `results_root`).
        plot_path: folder of reports; results/result_plots under the current directory when left out.
        protocol: name of the evaluation protocol.
        exclude_invalid_frames: leave frames without a valid annotation out of the divisor.
        skip_missing_seq: leave out a sequence that a tracker has no result for.

    Returns:
        The files written: `<plot_path>/<report_name>/<plot_type>_plot.png` and `.pdf`.

    Raises:
        UserError: as `extract_scores`, an unknown plot type, or another `plot_bin_gap` than 0.05.
    """
    plot_types = _checked_plot_types(plot_types)
    if not np.isclose(plot_bin_gap, 0.05):
        raise UserError(f"plot_bin_gap={plot_bin_gap:g}: every protocol has its thresholds, which are 0.05 apart")
    scores = extract_scores(
        trackers, dataset, results_root(results), protocol, exclude_invalid_frames, skip_missing_seq, merge_results
    )
    return write_plots(scores, Path(plot_path or _FOLDER) / check_name("report", report_name), plot_types)


def write_plots(scores: Scores, folder: Path, plot_types: Iterable[str] = tuple(PLOTS)) -> list[Path]:
    """Write the plots of scores that were extracted before; returns the files' paths.

    Under a protocol without centre errors there is only the success plot.
    """
    return [
        path
        for plot_type in plot_types
        if plot_type in scores.plot_types
        for path in save_figure(draw_curves(scores, plot_type), folder / f"{plot_type}_plot")
    ]


def print_results(
    trackers: Listing[TrackerRun],
    dataset: Listing[Sequence],
    report_name: str,
    merge_results: bool = False,
    plot_types: Iterable[str] = ("success", "prec", "norm_prec"),
    *,
    markdown: bool = False,
    results: str | os.PathLike[str] | None = None,
    protocol: str = "pytracking",
    exclude_invalid_frames: bool = False,
    skip_missing_seq: bool = False,
) -> None:
    """Print AUC, OP50, OP75 ('success'), precision, normalised precision and speed, one row a tracker.

    Arguments and errors as for `plot_results`; `report_name` is the table's title, `markdown` adds the bars of
    Markdown.
    """
    plot_types = _checked_plot_types(plot_types)
    scores = extract_scores(
        trackers, dataset, results_root(results), protocol, exclude_invalid_frames, skip_missing_seq, merge_results
    )
    print(f"\n{printable(report_name)}\n{results_table(scores, markdown, plot_types)}")


def print_per_sequence_results(
    trackers: Listing[TrackerRun],
    dataset: Listing[Sequence],
    report_name: str,
    merge_results: bool = False,
    filter_criteria: dict[str, float | str] | None = None,
    *,
    markdown: bool = False,
    results: str | os.PathLike[str] | None = None,
    protocol: str = "pytracking",
    exclude_invalid_frames: bool = False,
    skip_missing_seq: bool = False,
) -> None:
    """Print the AUC of every tracker on every sequence.

    Arguments and errors as for `print_results`, and:

    Args:
        filter_criteria: show only some sequences, by their mean overlap in percent: `{"mode": "ao_min", "threshold":
            40}` where some tracker is below 40, 'ao_max' where all are below it, 'delta_ao' where the best and the
            worst tracker are further apart than the threshold.
    """
    scores = extract_scores(
        trackers, dataset, results_root(results), protocol, exclude_invalid_frames, skip_missing_seq, merge_results
    )
    rows = None if filter_criteria is None else _filter(scores, filter_criteria)
    print(f"\n{printable(report_name)}\n{per_sequence_table(scores, rows, markdown)}")


def _checked_plot_types(plot_types: Iterable[str]) -> tuple[str, ...]:
    checked = (plot_types,) if isinstance(plot_types, str) else tuple(plot_types)
    check_names("plot type", checked, PLOTS)
    return checked


def _filter(scores: Scores, criteria: dict[str, float | str]) -> np.ndarray:
    """[S] bool: the sequences that the criteria let through."""
    check_names("filter criterion", criteria, ("mode", "threshold"))
    mode = str(criteria.get("mode"))
    check_names("filter mode", [mode], _FILTERS)
    try:
        threshold = float(criteria["threshold"])
    except (KeyError, ValueError):
        raise UserError("filter_criteria needs a number 'threshold', in percent") from None
    overlap = 100 * scores.mean_overlap
    if mode == "ao_min":
        return overlap.min(axis=1) < threshold
    if mode == "ao_max":
        return overlap.max(axis=1) < threshold
    return overlap.max(axis=1) - overlap.min(axis=1) > threshold
