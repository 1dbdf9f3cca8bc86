"""The TOML file that says where data sets lie: reading PyTracking's `local.py` for it, and writing it."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

from ltr.admin.files import write_text
from ltr.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
_HEADER = re.compile(r"\s*\[\s*paths\s*\]\s*(#.*)?$")


def read_local_py(path: Path) -> tuple[dict[str, str], list[str]]:
    """Paths from PyTracking's `local.py` (evaluation or training), which is parsed, never executed.

    Assignments such as `settings.otb_path = '/data/otb'` and `self.lasot_dir = '/data/lasot'` count, the last one of a
    name wins, and empty ones are passed over.

    Returns:
        folders: data set -> folder, as it stands.
        notes: one line for each data set whose folder is not a plain string there.

    Raises:
        UserError: the file is missing or is not Python.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise UserError(f"{path}: not a text file") from None
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path}, line {getattr(error, 'lineno', None) or 1}: not Python 3") from None
    folders: dict[str, str] = {}
    unread: dict[str, int] = {}
    assignments = [node for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.AnnAssign))]
    for node in sorted(assignments, key=lambda node: node.lineno):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for key in filter(None, map(_key, targets)):
            folders.pop(key, None)
            unread.pop(key, None)
            if not isinstance(node.value, ast.Constant) or not isinstance(node.value.value, str):
                unread[key] = node.lineno
            elif node.value.value.strip():
                folders[key] = node.value.value
    notes = [
        f"{path}, line {line}: the folder of {key} is not a plain string; not read" for key, line in unread.items()
    ]
    return folders, notes


def read_paths(file: Path) -> dict[str, str]:
    """The table `[paths]` of the file; empty where there is no file. Raises `UserError` where it is not TOML."""
    paths = _parse(file, _text(file)).get("paths", {})
    if not isinstance(paths, dict):
        raise UserError(f"{file}: 'paths' is not a table")
    return {key: str(value) for key, value in paths.items()}


def write_paths(file: Path, folders: dict[str, Path]) -> None:
    """Set entries of `[paths]`, leaving everything else of the file, comments too, as it is. Written whole.

    Raises:
        UserError: the file is not TOML, or writes its paths in a way that must be changed by hand.
        OSError: it cannot be written.
    """
    before = _text(file)
    wanted = _parse(file, before)
    wanted["paths"] = {**read_paths(file), **{key: str(folder) for key, folder in folders.items()}}
    lines = before.splitlines()
    start = next((number for number, line in enumerate(lines) if _HEADER.match(line)), None)
    if start is None:
        lines += [*([""] if lines else []), "[paths]"]
        start = len(lines) - 1
    for key, folder in folders.items():
        _set_line(lines, start, key, f"{key} = {json.dumps(str(folder), ensure_ascii=False)}")
    after = "\n".join(lines) + "\n"
    try:
        written = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        written = None
    if written != wanted:
        raise UserError(f'{file}: its [paths] are not one `name = "/folder"` a line; please change it by hand')
    write_text(file, after)


def _set_line(lines: list[str], header: int, key: str, line: str) -> None:
    """Replace the entry of `key` in the table that starts at `header`, or add it at the table's end."""
    end = next((n for n in range(header + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    entry = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    for number in range(header + 1, end):
        if entry.match(lines[number]):
            lines[number] = line
            return
    while end > header + 1 and not lines[end - 1].strip():
        end -= 1
    lines.insert(end, line)


def _key(target: ast.expr) -> str | None:
    """'otb' for `settings.otb_path` or `otb_path`; None for what is no data set."""
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in KEYS:
            return name.removesuffix(suffix)
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (IsADirectoryError, UnicodeDecodeError):
        raise UserError(f"{file}: not a text file") from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is not valid TOML: {error}") from None
