"""Raw results of other programs, as PyTracking, pysot, GOT-10k's toolkit and OTB's toolboxes store them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.inputs import check_name, number_array, read_json, read_object
from ltr.dataset.boxfile import read_boxes, read_lines, read_times
from ltr.dataset.layout import load_list
from ltr.errors import UserError, printable, unknown_name
from pytracking.evaluation.matfiles import read_mat_entries
from pytracking.networks import checksum

LAYOUTS = {
    "pytracking": "<sequence>.txt, <sequence>_time.txt",
    "pysot": "<sequence>.txt; for GOT-10k as got10k",
    "got10k": "<sequence>/<sequence>_001.txt (and 002, ...), <sequence>/<sequence>_time.txt",
    "otb": "<sequence>.json, or <sequence>_<tracker>.mat (needs scipy)",
}
_SEQUENCE_LISTS = {"otb": "otb100.json", "nfs": "nfs30.json", "uav": "uav123.json", "lasot": "lasot_test.json"}
_PREFIX = re.compile(r"^(nfs|uav|otb|lasot)[-]")


@dataclass(frozen=True)
class ForeignResult:
    """One result as another program left it.

    Attributes:
        sequence: the name that its file has.
        repetition: number of the run, from 0.
        boxes: [T, 4] float64 (x, y, w, h) in pixels, as they stand.
        times: [T] float64 seconds a frame, or None.
        source: the file of the boxes.
        sha256: checksum of that file.
    """

    sequence: str
    repetition: int
    boxes: np.ndarray
    times: np.ndarray | None
    source: Path
    sha256: str


def read_foreign(folder: Path, layout: str = "auto") -> tuple[list[ForeignResult], dict[Path, str]]:
    """All results in the folder of one tracker, in order of their names, and file -> what is wrong with a damaged one.

    Args:
        folder: folder of one tracker's files on one data set.
        layout: a key of `LAYOUTS`, or 'auto' to tell by the files.

    Raises:
        UserError: unknown layout, or no result in the folder that can be read.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise unknown_name("layout", layout, ["auto", *LAYOUTS])
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of results")
    flat = sorted(file for file in folder.glob("*.txt") if not file.stem.endswith("_time"))
    repetitions = folder.glob("*/*_[0-9][0-9][0-9].txt")
    nested = sorted(file for file in repetitions if file.stem[:-4] == file.parent.name)
    boxed = sorted(file for file in folder.iterdir() if file.suffix in (".mat", ".json"))
    if layout == "otb" or (layout == "auto" and boxed and not flat and not nested):
        files, read = boxed, _otb_reader(boxed)
    elif layout == "got10k" or (layout in ("auto", "pysot") and nested and not flat):
        files, read = nested, _read_nested
    else:
        files, read = flat, _read_flat
    if not files:
        expected = LAYOUTS.get(layout) or "; ".join(f"{name}: {files}" for name, files in LAYOUTS.items())
        raise UserError(f"{folder}: no results in it; expected {expected}")
    results, damaged = [], {}
    for file in files:
        try:
            results.append(read(file))
        except UserError as error:
            damaged[file] = str(error)
    if not results:
        rest = f" ({len(damaged) - 1} more files cannot be read)" if len(damaged) > 1 else ""
        raise UserError(damaged[files[0]] + rest)
    return results, damaged


def official_names(dataset: str) -> list[str] | None:
    """The names of a data set's sequences, which need not be on disk; None where there is no list of them."""
    if dataset.startswith("got10k_"):
        return [f"GOT-10k_{dataset.removeprefix('got10k_').title()}_{number:06d}" for number in range(1, 181)]
    if dataset not in _SEQUENCE_LISTS:
        return None
    return [entry if isinstance(entry, str) else entry["name"] for entry in load_list(_SEQUENCE_LISTS[dataset])]


def match_name(name: str, official: Iterable[str]) -> str | None:
    """The official name that `name` stands for; None where there is none.

    Toolkits differ in case ('BasketBall'), in separators ('Jogging-1', 'jogging.1'), in prefixes ('nfs_Gymnastics')
    and, in OTB's .mat files, in a suffix with the tracker ('Deer_MDNet').
    """
    by_key = {_key(entry): entry for entry in official}
    return by_key.get(_key(name)) or by_key.get(_key(name.rpartition("_")[0]))


def is_foreign(folder: Path, sequence: str) -> bool:
    """Whether a result on disk was imported from another program."""
    try:
        return read_object(folder / f"{sequence}.json").get("format") == "foreign"
    except UserError:
        return False


def _key(name: str) -> str:
    return _PREFIX.sub("", name.lower().replace("_", "-").replace(".", "-"))


def _read_flat(file: Path) -> ForeignResult:
    times = [folder / f"{file.stem}_time.txt" for folder in (file.parent, file.parent / "times")]
    boxes = read_boxes(file)
    known = next((read_times(path, len(boxes))[:, 0] for path in times if path.is_file()), None)
    return ForeignResult(file.stem, 0, boxes, known, file, checksum(file))


def _read_nested(file: Path) -> ForeignResult:
    repetition = int(file.stem[-3:]) - 1
    if read_lines(file)[0].strip() in ("1", "1.0000"):
        raise UserError(f"{file}: a supervised run of VOT; score it with python -m pytracking.analysis.vot")
    times_file = file.with_name(f"{file.parent.name}_time.txt")
    boxes = read_boxes(file)
    times = None
    if times_file.is_file():
        # It has a column for each repetition, or one for the first alone.
        columns = len(read_lines(times_file)[0].replace(",", " ").split())
        times = read_times(times_file, len(boxes), columns)[:, repetition] if repetition < columns else None
    return ForeignResult(file.parent.name, repetition, boxes, times, file, checksum(file))


def _otb_reader(files: list[Path]) -> Callable[[Path], ForeignResult]:
    """What reads one of OTB's files; the MATLAB files among them have been read together."""
    mats = [file for file in files if file.suffix == ".mat"]
    entries = dict(zip(mats, read_mat_entries(mats)))
    return lambda file: _otb_result(file, entries[file] if file in entries else _json_entry(file))


def _otb_result(file: Path, entry: dict[str, Any]) -> ForeignResult:
    if "error" in entry:
        raise UserError(f"{file}: {entry['error']}")
    kind = entry.get("resType", entry.get("type", "rect"))
    if type(kind) is not str or kind != "rect":
        shown = printable(kind[:40]) if type(kind) is str else type(kind).__name__
        raise UserError(f"{file}: results of type '{shown}'; only upright boxes ('rect') can be imported")
    try:
        # In MATLAB's files NaN says that a tracker found nothing.
        boxes = number_array(entry.get("res"), finite=file.suffix != ".mat")
    except ValueError:
        boxes = np.zeros(0)
    if np.isinf(boxes).any() or boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise UserError(f"{file}: its 'res' is not a list of boxes (x, y, w, h)")
    fps: Any = entry.get("fps")
    times = np.full(len(boxes), 1 / fps) if type(fps) in (int, float) and 1e-6 < fps < 1e9 else None
    # The name becomes that of files, and the file is not ours.
    try:
        name = check_name("sequence", entry.get("seqName") or file.stem)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return ForeignResult(name, 0, boxes, times, file, checksum(file))


def _json_entry(file: Path) -> dict[str, Any]:
    content = read_json(file)
    entry = content[0] if isinstance(content, list) and content else content
    if not isinstance(entry, dict):
        raise UserError(f"{file}: expected OTB's list of evaluations, the one-pass one first")
    return entry
