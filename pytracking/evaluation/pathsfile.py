"""The TOML file that says where data sets lie: reading PyTracking's `local.py` for it, and writing it."""

from __future__ import annotations

import ast
from pathlib import Path

import tomlkit
import tomlkit.exceptions

from ltr.admin.files import write_text
from ltr.admin.inputs import parse_toml, read_text
from ltr.errors import UserError, list_some

# Evaluation data sets first, then those that only training uses.
KEYS = {
    "otb": "OTB-100",
    "nfs": "NFS, 30 frames a second",
    "uav": "UAV123",
    "lasot": "LaSOT",
    "lasot_extension_subset": "LaSOT's extension subset",
    "trackingnet": "TrackingNet",
    "got10k": "GOT-10k (the folder with train, val, test)",
    "vot": "a VOT-style folder",
    "davis": "DAVIS",
    "folder": "a folder of your own sequences",
    "coco": "COCO (training)",
    "lite": "a folder for the compact recipes (training)",
}

_SUFFIXES = ("_path", "_dir")
# What PyTracking's local.py says beside data sets, and how it is said here.
_ELSEWHERE = {
    "results_path": "set EBM_TRACKING_RESULTS",
    "network_path": "set EBM_TRACKING_NETWORKS",
    "result_plot_path": "give --output to the command that draws",
    "workspace_dir": "give --output to `python -m ltr train`",
}
# The largest local.py that anyone has written by hand is a hundred times smaller.
_MAX_BYTES = 1 << 20


def read_local_py(path: Path) -> tuple[dict[str, str], list[str]]:
    """Paths from PyTracking's `local.py` (evaluation or training), which is parsed, never executed.

    Assignments such as `settings.otb_path = '/data/otb'` and `self.lasot_dir = '/data/lasot'` count, the last one of a
    name wins, and empty ones are passed over.

    Returns:
        folders: data set -> folder, as it stands.
        notes: one line for everything else that it names and that is not taken.

    Raises:
        UserError: the file is missing, is not Python, or is nested more deeply than any written by hand.
    """
    try:
        tree = ast.parse(read_text(path, _MAX_BYTES))
    except (RecursionError, MemoryError):
        raise UserError(f"{path}: an expression in it is nested too deeply to be read") from None
    except (SyntaxError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}, line {getattr(error, 'lineno', None) or 1}: not Python 3") from None
    # Name in the file -> (line, text; None where it is no plain string); the last assignment wins.
    found: dict[str, tuple[int, str | None]] = {}
    assignments = [node for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.AnnAssign))]
    for node in sorted(assignments, key=lambda node: node.lineno):
        value = node.value.value if isinstance(node.value, ast.Constant) else None
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
            if name.endswith(_SUFFIXES):
                found[name] = (node.lineno, value if isinstance(value, str) else None)
    folders: dict[str, str] = {}
    notes, unknown = [], []
    for name, (line, text) in found.items():
        key = name.rpartition("_")[0]
        if text is not None and not text.strip():
            continue
        if name in _ELSEWHERE:
            notes.append(f"{path}, line {line}: {name} is left out; {_ELSEWHERE[name]}")
        elif key not in KEYS:
            unknown.append(name)
        elif text is None:
            notes.append(f"{path}, line {line}: the folder of {key} is not a plain string; not read")
        else:
            folders[key] = text
    if unknown:
        notes.append(f"{path}: {list_some(unknown, str(path))}: not a data set of this program; left out")
    return folders, notes


def read_paths(file: Path) -> dict[str, str]:
    """The texts in `[paths]` of the file; empty where there is no file. Raises `UserError` where it is not TOML."""
    paths = parse_toml(file, _text(file)).get("paths", {})
    if not isinstance(paths, dict):
        raise UserError(f"{file}: 'paths' is not a table")
    return {key: value for key, value in paths.items() if type(value) is str}


def write_paths(file: Path, folders: dict[str, Path]) -> None:
    """Set entries of `[paths]`, leaving everything else of the file, comments too, as it is. Written whole.

    Raises:
        UserError: the file is not TOML, or the name of a folder cannot be written in it.
        OSError: it cannot be written.
    """
    before = _text(file)
    wanted = parse_toml(file, before)
    read_paths(file)
    wanted["paths"] = {**wanted.get("paths", {}), **{key: str(folder) for key, folder in folders.items()}}
    try:
        document = tomlkit.parse(before)
        paths = document.setdefault("paths", tomlkit.table())
        for key, folder in folders.items():
            paths[key] = str(folder)
        after = tomlkit.dumps(document)
    except (tomlkit.exceptions.TOMLKitError, RecursionError) as error:
        raise UserError(f"{file}: cannot be changed, please do it by hand: {error}") from None
    if parse_toml(file, after) != wanted:
        raise UserError(f'{file}: its [paths] are not one `name = "/folder"` a line; please change it by hand')
    try:
        write_text(file, after)
    except UnicodeEncodeError:
        raise UserError(f"{file}: the name of a folder is not valid UTF-8; rename the folder") from None


def _text(file: Path) -> str:
    return read_text(file) if file.exists() else ""
