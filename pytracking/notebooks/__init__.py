"""Notebooks that analyse results on disk, and what they share. Start with `jupyter lab pytracking/notebooks`."""

from __future__ import annotations

from pathlib import Path

from ltr.errors import UserError
from pytracking.evaluation.tracker import results_root


def find_results(folder: str | Path | None, start: Path | None = None) -> Path:
    """The folder of raw results, looked for under the current directory and those above it.

    Args:
        folder: such as 'results/demo/tracking_results'; the configured one when left out (see `results_root`).
        start: the current directory when left out. Jupyter takes the notebook's own folder for it.

    Raises:
        UserError: there is none.
    """
    wanted = results_root(folder)
    here = (start or Path.cwd()).resolve()
    for base in (here, *here.parents):
        if (base / wanted).is_dir():
            return base / wanted
    raise UserError(
        f"no folder {wanted} under {here} or above it: run a tracker first (python -m pytracking demo), or set RESULTS"
    )
