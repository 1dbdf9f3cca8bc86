"""Where data sets and results live: command line, then environment variable, then the user's paths.toml.

    # ~/.config/ebm-tracking/paths.toml
    results = "/data/tracking_results"
    [datasets]
    otb = "/data/OTB100"

The variables are `EBM_TRACKING_<DATA SET>`, such as `EBM_TRACKING_OTB`, and `EBM_TRACKING_RESULTS`;
`EBM_TRACKING_CONFIG` names another TOML file.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from pytracking.errors import UserError

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_DEFAULT_RESULTS = Path("results") / "tracking_results"


def config_file() -> Path:
    """The user's TOML file, whether it exists or not."""
    named = os.environ.get("EBM_TRACKING_CONFIG")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "ebm-tracking" / "paths.toml"


def dataset_root(name: str, path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a data set.

    Args:
        name: the data set's name, such as 'otb'.
        path: a folder given on the command line, which wins.

    Raises:
        UserError: no folder is known (the message says the three ways to give one), or it does not exist.
    """
    variable = f"EBM_TRACKING_{name.upper()}"
    file = config_file()
    if path is not None:
        root, source = Path(path), "--dataset_path"
    elif os.environ.get(variable):
        root, source = Path(os.environ[variable]), variable
    else:
        folders = _read_config().get("datasets", {})
        if not isinstance(folders, dict):
            raise UserError(f"{file}: 'datasets' must be a table of name = \"folder\" lines")
        if name not in folders:
            near = difflib.get_close_matches(name, folders, n=1, cutoff=0.5)
            hint = f" (the file has '{near[0]}')" if near else ""
            raise UserError(
                f"where is data set '{name}'? Pass --dataset_path, set {variable}, "
                f'or write {name} = "folder" under [datasets] in {file}{hint}'
            )
        root, source = _path_value(folders[name], f"datasets.{name}"), str(file)
    root = root.expanduser()
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (data set '{name}', from {source})")
    return root


def results_root(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of raw results: the given one, `EBM_TRACKING_RESULTS`, 'results' of the TOML file, or
    results/tracking_results under the current directory. It need not exist."""
    if path is not None:
        return Path(path).expanduser()
    if os.environ.get("EBM_TRACKING_RESULTS"):
        return Path(os.environ["EBM_TRACKING_RESULTS"]).expanduser()
    named = _read_config().get("results")
    return _DEFAULT_RESULTS if named is None else _path_value(named, "results").expanduser()


def _path_value(value: Any, key: str) -> Path:
    if not isinstance(value, str):
        raise UserError(f"{config_file()}: '{key}' must be a string, got {value!r}")
    return Path(value)


def _read_config() -> dict[str, Any]:
    file = config_file()
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get("EBM_TRACKING_CONFIG"):
            raise UserError(f"{file}: no such file (named by EBM_TRACKING_CONFIG)") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a TOML file: {error}") from None
