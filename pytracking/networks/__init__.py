"""Trained networks that ship with the package, and where others are looked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ltr.errors import UserError

NETWORKS_VARIABLE = "EBM_TRACKING_NETWORKS"


def network_folders() -> list[Path]:
    """Where trained networks are looked for: the folder that EBM_TRACKING_NETWORKS names, then this one."""
    given = os.environ.get(NETWORKS_VARIABLE)
    return [*([Path(given).expanduser()] if given else []), Path(__file__).parent]


def find_network(name: str) -> Path | None:
    """The checkpoint `<name>.safetensors`, from the first of `network_folders` that has it; None without one."""
    paths = (folder / f"{name}.safetensors" for folder in network_folders())
    return next((path for path in paths if path.is_file()), None)


def network_file(name: str) -> Path:
    """The checkpoint `<name>.safetensors`, as `find_network`.

    Raises:
        UserError: there is none of that name; the message says which there are and how to give one.
    """
    path = find_network(name)
    if path is not None:
        return path
    folders = network_folders()
    known = sorted({path.stem for folder in folders for path in folder.glob("*.safetensors")})
    raise UserError(
        f"there is no network '{name}' (at hand: {', '.join(known) or 'none'}); train it, and set net_path to its file "
        f"or {NETWORKS_VARIABLE} to the folder that {name}.safetensors lies in"
    )


def checksum(path: Path) -> str:
    """sha256 in hexadecimal of a file, or of the names and contents of a folder's files."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.iterdir() if file.is_file())
    return hashlib.sha256("".join(f"{file.name} {checksum(file)}\n" for file in files).encode()).hexdigest()
