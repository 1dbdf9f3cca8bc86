"""Trained networks that ship with the package, and where others are looked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ltr.admin.paths import PUBLIC_SUFFIXES, cache_folder
from ltr.errors import UserError

NETWORKS_VARIABLE = "EBM_TRACKING_NETWORKS"


def network_folders() -> list[Path]:
    """Where networks are looked for: EBM_TRACKING_NETWORKS, the user's cache (where fetched ones go), then this one."""
    given = os.environ.get(NETWORKS_VARIABLE)
    return [*([Path(given).expanduser()] if given else []), cache_folder() / "networks", Path(__file__).parent]


def network_files() -> list[Path]:
    """Every network in `network_folders`, the one that a name stands for before others of that name."""
    suffixes = (".safetensors", *PUBLIC_SUFFIXES)
    folders = [sorted(folder.iterdir()) for folder in network_folders() if folder.is_dir()]
    return [path for files in folders for suffix in suffixes for path in files if path.name.endswith(suffix)]


def network_name(path: Path) -> str:
    """The name of a network by its file: 'super_dimp' for `super_dimp.pth.tar`."""
    return path.name.removesuffix(".tar").rpartition(".")[0]


def find_network(name: str) -> Path | None:
    """The checkpoint of a name: `<name>.safetensors`, or PyTracking's `.pth` or `.pth.tar`; None without one."""
    return next((path for path in network_files() if network_name(path) == name and path.is_file()), None)


def network_file(name: str) -> Path:
    """The checkpoint of a name, as `find_network`.

    Raises:
        UserError: there is none of that name; the message says which there are and how to give one.
    """
    path = find_network(name)
    if path is not None:
        return path
    known = sorted({network_name(path) for path in network_files()})
    raise UserError(
        f"there is no network '{name}' (there are: {', '.join(known) or 'none'}); train it, fetch it if it is public "
        f"(python -m pytracking models), set net_path to its file, or set {NETWORKS_VARIABLE} to the folder that "
        f"{name}.safetensors lies in"
    )


def checksum(path: Path) -> str:
    """sha256 in hexadecimal of a file, or of the names and contents of a folder's files."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.iterdir() if file.is_file())
    return hashlib.sha256("".join(f"{file.name} {checksum(file)}\n" for file in files).encode()).hexdigest()
