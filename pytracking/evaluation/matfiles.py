"""OTB's results in MATLAB files, read in a process of its own: scipy's reader can crash on a damaged file."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.inputs import read_bytes
from ltr.errors import UserError, printable

_FIELDS = ("res", "resType", "type", "seqName", "fps")
# A result on the longest sequence has a hundredth of it.
_MAX_BYTES = 1 << 26
_SECONDS_PER_FILE = 20
# What scipy raises for a damaged file, which depends on where the damage is.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    EOFError,
    RecursionError,
    TypeError,
    ValueError,
    UnboundLocalError,
    struct.error,
    zlib.error,
)


def read_mat_entries(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Of each file the first of OTB's `results`, a cell array of structs: the one-pass evaluation.

    Returns:
        What the structs have under 'res', 'resType', 'type', 'seqName' and 'fps', as JSON has it: arrays of numbers as
        lists, an empty array as '', and anything else as an empty list. Of a file that is no such file what is wrong
        with it, under 'error'.

    Raises:
        UserError: scipy is not installed.
    """
    if not files:
        return []
    try:
        import scipy.io  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(f"{files[0]}: reading MATLAB files needs scipy; install it with `pip install scipy`") from None
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, *map(os.fspath, files)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS_PER_FILE * len(files),
        ).stdout
    except subprocess.TimeoutExpired as late:
        done = late.stdout or b""
    answers = [json.loads(line) for line in done.split(b"\n")[:-1]]
    if len(answers) < len(files):
        answers.append({"error": "not a MATLAB file that can be read (its reader crashed)"})
        answers += read_mat_entries(files[len(answers) :])
    return answers


def _read(file: str) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(io.BytesIO(read_bytes(file, _MAX_BYTES)), simplify_cells=True)
    except UserError as error:
        return {"error": str(error).removeprefix(f"{file}: ")}
    except (*_DAMAGED, MatReadError) as error:
        return {"error": f"not a MATLAB file that can be read ({printable(str(error)[:200])})"}
    entry = content.get("results")
    if isinstance(entry, list) or getattr(entry, "ndim", 0) == 1:
        entry = next(iter(entry), None)
    if not isinstance(entry, dict):
        return {"error": "no 'results' with boxes, as OTB's toolbox writes them"}
    return {field: _plain(entry[field]) for field in _FIELDS if field in entry}


def _plain(value: Any) -> Any:
    """A number, text or an array of numbers as JSON has it."""
    if isinstance(value, np.ndarray) and value.size == 0:
        return ""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "iuf":
        return value.tolist()
    return value if type(value) in (int, float, str) else []


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(_read(name)), flush=True)
