"""Where evaluation data sets and results live: the command line first, then what `ltr.admin.paths` knows."""

from __future__ import annotations

import os
from pathlib import Path

from ltr.admin.paths import dataset_path
from ltr.errors import UserError

_DEMO = Path(__file__).parents[1] / "demo_data"
_DEFAULT_RESULTS = Path("results") / "tracking_results"


def dataset_root(name: str, path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a data set: `path`, else the variable `EBM_TRACKING_<NAME>`, else the user's paths.toml. The demo
    clips come with the package.

    Args:
        name: the data set's name, such as 'otb'.
        path: a folder given on the command line.

    Raises:
        UserError: no folder is known (the message says the ways to give one), or it does not exist.
    """
    if path is None and name == "demo":
        return _DEMO
    if path is None:
        try:
            return dataset_path(name)
        except FileNotFoundError as error:
            raise UserError(f"{error}; or pass --dataset_path, or run python -m pytracking setup") from None
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (--dataset_path of data set '{name}')")
    return root


def results_root(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of raw results, which need not exist: `path`, else the variable `EBM_TRACKING_RESULTS`, else
    results/tracking_results under the current directory."""
    given = path if path is not None else os.environ.get("EBM_TRACKING_RESULTS")
    return Path(given).expanduser() if given else _DEFAULT_RESULTS
