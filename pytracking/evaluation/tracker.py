"""A tracker as evaluation knows it: a name, a parameter name and a run, which say where its results are."""

from __future__ import annotations

import numbers
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ltr.admin.inputs import as_path, check_name
from ltr.errors import UserError

_DEFAULT_RESULTS = Path("results") / "tracking_results"


@dataclass(frozen=True)
class TrackerRun:
    """One run of a tracker with one set of parameters.

    Attributes:
        name: the tracker, such as 'dimp'.
        parameter_name: its parameters, such as 'dimp_nceplus_lite'.
        run_id: number of the run where a tracker is run several times, else None.
        display_name: name in plots and tables; `label` falls back on the other three.
    """

    name: str
    parameter_name: str
    run_id: int | None = None
    display_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that could lead to another folder, before any path is made of them. Raises `UserError`."""
        check_name("tracker", self.name)
        check_name("parameter file", self.parameter_name)
        if self.run_id is not None and not (isinstance(self.run_id, numbers.Integral) and self.run_id >= 0):
            raise UserError(
                f"a run of {self.name}/{self.parameter_name} has a whole number from 0, not {self.run_id!r}"
            )

    @property
    def label(self) -> str:
        """The name to show."""
        if self.display_name is not None:
            return self.display_name
        run = "" if self.run_id is None else f"_{self.run_id:03d}"
        return f"{self.name}/{self.parameter_name}{run}"

    def result_folder(self, results_root: Path) -> Path:
        """`<results>/<tracker>/<parameters>[_<run id, 3 digits>]`."""
        run = "" if self.run_id is None else f"_{self.run_id:03d}"
        return as_path("the folder of results", results_root) / self.name / f"{self.parameter_name}{run}"


def results_root(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of raw results, which need not exist: `path`, else the variable `EBM_TRACKING_RESULTS`, else
    results/tracking_results under the current directory."""
    given = path if path is not None else os.environ.get("EBM_TRACKING_RESULTS")
    return as_path("the folder of results", given) if given else _DEFAULT_RESULTS


# PyTracking's name.
Tracker = TrackerRun


def trackerlist(
    name: str, parameter_name: str, run_ids: int | Iterable[int] | None = None, display_name: str | None = None
) -> list[TrackerRun]:
    """The runs of one tracker, to hand to `plot_results` and `print_results`.

    Args:
        name: the tracker, such as 'dimp'.
        parameter_name: its parameters, such as 'dimp_nceplus'.
        run_ids: numbers of the runs; None for a single run without a number.
        display_name: name in plots and tables.

    >>> [str(run.result_folder(Path("r"))) for run in trackerlist("dimp", "dimp50", range(2))]
    ['r/dimp/dimp50_000', 'r/dimp/dimp50_001']
    """
    ids = run_ids if isinstance(run_ids, Iterable) else [run_ids]
    return [TrackerRun(name, parameter_name, run_id, display_name) for run_id in ids]


def parse_runs(text: str) -> list[TrackerRun]:
    """'dimp/dimp50:0,1,2=DiMP-50' as runs; the trackers need not be installed, only their results.

    Raises:
        UserError: the text is not of that form.

    >>> [run.label for run in parse_runs("dimp/dimp50:0,1")]
    ['dimp/dimp50_000', 'dimp/dimp50_001']
    """
    names, _, display_name = text.partition("=")
    names, _, runs = names.partition(":")
    tracker, _, parameter = names.partition("/")
    numbers = runs.split(",") if runs else []
    if not tracker or not parameter or not all(re.fullmatch("[0-9]{1,9}", number) for number in numbers):
        raise UserError(f"'{text}' is not TRACKER/PARAMETERS[:RUN][=NAME], such as dimp/dimp50 or dimp/dimp50:0,1=DiMP")
    return trackerlist(tracker, parameter, [int(number) for number in numbers] or None, display_name or None)
