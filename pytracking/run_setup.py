"""Say once where the data sets lie: asks, or takes flags, and writes the paths file.

python -m pytracking setup --set otb=/data/otb --set lasot=/data/lasot
python -m pytracking setup --from_local ~/pytracking/pytracking/evaluation/local.py
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ltr.admin.paths import paths_file
from ltr.errors import UserError, check_names
from pytracking.evaluation.pathsfile import KEYS, read_local_py, read_paths, write_paths


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_setup.py",
        description="Write where data sets lie to the paths file. Without options it asks for one after the other.",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=FOLDER", help=f"a data set's folder: {', '.join(KEYS)}"
    )
    parser.add_argument(
        "--from_local",
        action="append",
        default=[],
        type=Path,
        metavar="LOCAL.PY",
        help="take the folders from PyTracking's local.py, which is read and not executed",
    )
    parser.add_argument("--file", type=Path, help=f"the paths file (default: {paths_file()})".replace("%", "%%"))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Collect folders, write them, and say what was written."""
    args = build_parser().parse_args(argv)
    file = args.file or paths_file()
    known = read_paths(file)
    folders: dict[str, Path] = {}
    for local in args.from_local:
        folders |= _from_local(local)
    folders |= dict(_parse_setting(text) for text in args.set)
    if not args.set and not args.from_local:
        folders = _ask(known)
    if not folders:
        raise UserError("no folder was given, nothing is written; see python -m pytracking setup --help")
    write_paths(file, folders)
    for name, folder in folders.items():
        print(f"{name} = {folder}")
        variable = f"EBM_TRACKING_{name.upper()}"
        if os.environ.get(variable, str(folder)) != str(folder):
            print(f"note: the environment variable {variable} says {os.environ[variable]}, and wins", file=sys.stderr)
    print(f"written to {file}; python -m pytracking check <data set> tells whether a copy is whole")
    return 0


def _from_local(local: Path) -> dict[str, Path]:
    found, notes = read_local_py(local)
    folders = {}
    for name, text in found.items():
        folder = _absolute(text)
        if folder.is_dir():
            folders[name] = folder
        else:
            notes.append(f"{local}: {folder}, given for {name}, is not a folder; left out")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if not folders:
        raise UserError(f"{local}: names no folder of a known data set; expected lines like settings.otb_path = '/otb'")
    return folders


def _parse_setting(text: str) -> tuple[str, Path]:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not value.strip():
        raise UserError(f"--set {text}: expected NAME=FOLDER, such as otb=/data/otb")
    check_names("data set", [name], KEYS)
    folder = _absolute(value)
    if not folder.is_dir():
        raise UserError(f"--set {text}: {folder} is not a folder")
    return name, folder


def _ask(known: dict[str, str]) -> dict[str, Path]:
    """Folders typed in; an empty answer keeps what is known, the end of input ends the questions."""
    print("Where do the data sets lie? Enter leaves one as it is, Ctrl-D ends.", file=sys.stderr)
    folders: dict[str, Path] = {}
    try:
        for name, title in KEYS.items():
            while answer := input(f"{name}, {title} [{known.get(name, '')}]: ").strip():
                folder = _absolute(answer)
                if folder.is_dir():
                    folders[name] = folder
                    break
                print(f"{folder} is not a folder", file=sys.stderr)
    except EOFError:
        print(file=sys.stderr)
    return folders


def _absolute(text: str) -> Path:
    return Path(os.path.expanduser(os.path.expandvars(text.strip()))).absolute()
