"""Where data sets lie on this machine: environment variables first, then one TOML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ltr.admin.inputs import read_toml
from ltr.errors import MissingFileError, UserError

# Parts of a data set that lie in one folder.
_SHARED = {"got10k_test": "got10k", "got10k_val": "got10k"}

# Ends of the names that files of torch.save have in public.
PUBLIC_SUFFIXES = (".pth", ".pth.tar", ".pt")


class UnnamedFolderError(MissingFileError):
    """Nothing says where a data set lies. The message says how to."""


def paths_file() -> Path:
    """The TOML file with a `[paths]` table; EBM_TRACKING_PATHS overrides its place."""
    given = os.environ.get("EBM_TRACKING_PATHS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "ebm-tracking" / "paths.toml"


def paths_table(name: str) -> dict[str, Any]:
    """A table of the TOML file, such as `paths`; empty where file or table are not there.

    Raises:
        UserError: the file is not valid TOML, or the entry is no table.
    """
    if not paths_file().is_file():
        return {}
    table = read_toml(paths_file()).get(name, {})
    if not isinstance(table, dict):
        raise UserError(f"{paths_file()}: [{name}] must be a table, found {type(table).__name__}")
    return table


def dataset_path(name: str) -> Path:
    """The folder of a data set: `EBM_TRACKING_<NAME>` or the key `<name>` of `[paths]` in the TOML file.

    Raises:
        UnnamedFolderError: neither names it; the message says what to write where.
        MissingFileError: the folder is not there.
        UserError: the file is not TOML, or its entry is not text.
    """
    name = _SHARED.get(name, name)
    variable = f"EBM_TRACKING_{name.upper()}"
    given = os.environ.get(variable)
    source = f"the environment variable {variable}"
    if given is None:
        given = paths_table("paths").get(name)
        source = f"{paths_file()}, [paths] {name}"
        if given is not None and not isinstance(given, str):
            raise UserError(f'{source}: wanted `{name} = "/its/folder"`, found {type(given).__name__}')
    if given is None:
        raise UnnamedFolderError(
            f"where is the data set '{name}'? Set {variable}=/its/folder or write `{name} = \"/its/folder\"` under "
            f"[paths] in {paths_file()}"
        )
    folder = Path(os.path.expanduser(given))
    if not folder.is_dir():
        raise MissingFileError(f"{folder}, given for data set '{name}' by {source}, is not a folder")
    return folder


def cache_folder() -> Path:
    """Where what can be made again is kept: EBM_TRACKING_CACHE, else `ebm-tracking` in the user's cache folder."""
    given = os.environ.get("EBM_TRACKING_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ebm-tracking"
