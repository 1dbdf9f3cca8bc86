"""Raw results on disk: boxes, times and a manifest that tells a complete, current result from a half or stale one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.admin.files import write_json, write_text
from ltr.admin.inputs import as_path, check_name, read_object
from ltr.dataset.boxfile import format_boxes, format_times, read_boxes, read_times
from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.seeds import sequence_seed
from pytracking.evaluation.tracker import TrackerRun

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 1
_COLUMNS = ("frame", "x", "y", "w", "h", "score", "flag", "time")
_RECORDED = ("numpy", "torch", "opencv-contrib-python-headless", "opencv-contrib-python")
# What makes an old result stale; the versions of the libraries are recorded for the reader only.
_DECISIVE = (
    "format",
    "tracker",
    "parameter",
    "parameters",
    "weights_sha256",
    "seed",
    "sequence",
    "first_box",
    "num_frames",
)


@dataclass(frozen=True)
class RawResult:
    """What a tracker answered on one sequence.

    Attributes:
        boxes: [T, 4] float64 (x, y, w, h) in pixels; row 0 is the given box.
        times: [T] float64 seconds a frame, or None where they were not recorded.
        scores: [T] confidence, whose scale is the tracker's own; None where it was not recorded.
        flags: T words, as in `TrackResult`; None where they were not recorded.
    """

    boxes: np.ndarray
    times: np.ndarray | None
    scores: np.ndarray | None = None
    flags: list[str] | None = None


def describe_run(run: TrackerRun, params: Any, weights_sha256: str | None, sequence: Sequence) -> dict[str, Any]:
    """What a result depends on, as plain JSON data: the manifest of a result without its checksum.

    Args:
        run: tracker and parameter names, and the run's number, which decides the seed.
        params: the parameters, a dataclass.
        weights_sha256: checksum of the network's weights, None for a tracker without a network.
        sequence: the sequence that is tracked.
    """
    described = {
        "format": _FORMAT,
        "tracker": run.name,
        "parameter": run.parameter_name,
        "parameters": dataclasses.asdict(params),
        "weights_sha256": weights_sha256,
        "run_id": run.run_id,
        "seed": sequence_seed(run.run_id, sequence.name),
        "dataset": sequence.dataset,
        "sequence": sequence.name,
        "num_frames": len(sequence.frames),
        "first_box": sequence.ground_truth_rect[0].tolist(),
        "versions": _versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described, default=str))
    return plain


def save_result(folder: Path, result: RawResult, description: dict[str, Any]) -> None:
    """Write `<sequence>.txt`, `<sequence>_time.txt` and, last, the manifest `<sequence>.json`, each whole.

    Own code rather than a data base or an archive, since PyTracking's tools read these text files.

    Args:
        folder: folder of the tracker's run.
        result: boxes and times.
        description: result of `describe_run`; more entries are kept.

    A run that is killed in between leaves no manifest that fits the boxes, so that its result never counts; one that
    fails at the boxes leaves an earlier result as it was.

    Raises:
        UserError: the sequence's name could lead out of the folder.
        OSError: a file cannot be written.
    """
    name = check_name("sequence", description["sequence"])
    boxes = format_boxes(result.boxes)
    write_text(folder / f"{name}.txt", boxes)
    if result.times is not None:
        write_text(folder / f"{name}_time.txt", format_times(result.times))
    manifest = {**description, "boxes_sha256": hashlib.sha256(boxes.encode()).hexdigest()}
    if result.scores is not None and result.flags is not None:
        manifest["scores"] = [round(float(score), 6) for score in result.scores]
        manifest["flags"] = list(result.flags)
    write_json(folder / f"{name}.json", manifest)


def why_redo(folder: Path, description: dict[str, Any]) -> str | None:
    """Why the result of an earlier run cannot be used again; None where it can, '' where there is none."""
    name = description["sequence"]
    boxes, manifest_file = folder / f"{name}.txt", folder / f"{name}.json"
    if not boxes.exists():
        return ""
    if not manifest_file.exists():
        return "no manifest beside it: written by a killed run or by another program"
    try:
        manifest = read_object(manifest_file)
    except UserError as error:
        return f"its manifest: {error}"
    for key in _DECISIVE:
        if manifest.get(key) != description[key]:
            return f"its {key} differ: {_difference(manifest.get(key), description[key])}"
    if manifest.get("boxes_sha256") != hashlib.sha256(boxes.read_bytes()).hexdigest():
        return "its boxes are not those that its manifest describes"
    return None


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of a result's manifest. Raises `UserError`, with what to do, as `read_object`."""
    try:
        return read_object(path)
    except UserError as error:
        raise UserError(f"{error}; run the tracker again") from None


def load_result(folder: Path, sequence: Sequence) -> RawResult:
    """Read a result, also one of another program (whole pixels, commas, no times, no manifest).

    Raises:
        UserError: no result, one that cannot be parsed, one that its own manifest does not describe, or times, scores
            or flags that are not one for every box.
    """
    return _read_raw(folder / f"{sequence.name}.txt", sealed=True)


def _read_raw(file: Path, sealed: bool) -> RawResult:
    """A file of boxes with the times, scores and flags beside it; `sealed`: its manifest must have their checksum."""
    boxes = read_boxes(file)
    manifest_file, time_file = file.with_suffix(".json"), file.with_name(f"{file.stem}_time.txt")
    scores, flags = None, None
    if manifest_file.exists():
        manifest = read_manifest(manifest_file)
        seal = manifest.get("boxes_sha256")
        if (sealed or seal is not None) and seal != hashlib.sha256(file.read_bytes()).hexdigest():
            raise UserError(f"{file}: changed or half written since {manifest_file.name}; run the tracker again")
        scores, flags = _recorded(manifest_file, manifest, len(boxes))
    times = read_times(time_file, len(boxes))[:, 0] if time_file.exists() else None
    return RawResult(boxes, times, scores, flags)


def read_result(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A result of any kind as a table: raw results, and what `run_video` and `run_webcam` write.

    Args:
        path: `<sequence>.txt` or `<video>.txt`, with the files beside it, or `<video>.csv`.

    Returns:
        One row a frame (a frame and target, where there are several), with columns frame (from 1), x, y, w, h in
        pixels, score and time (seconds that the tracker took; both NaN where they were not recorded), flag ('' where
        it was not recorded); of a video also seconds (of the frame) and id (of the target).

    Raises:
        UserError: the file is missing, is no result, or is not what its manifest describes.
    """
    import pandas as pd

    file = as_path("a result", path)
    table = file.with_suffix(".csv")
    if table.is_file():
        try:
            unknown = {name: ["", "nan"] for name in ("score", "time")}
            frame = pd.read_csv(table, dtype={"flag": str}, keep_default_na=False, na_values=unknown)
        except (ValueError, pd.errors.ParserError) as error:
            raise UserError(f"{table}: not a table of results ({error})") from None
        if missing := [name for name in _COLUMNS if name not in frame]:
            raise UserError(f"{table}: not a table of results, which has columns {', '.join(missing)}")
        numbers = ["x", "y", "w", "h", "score", "time"]
        if not all(pd.api.types.is_numeric_dtype(frame[name]) for name in numbers):
            raise UserError(f"{table}: something that is not a number in columns {', '.join(numbers)}")
        return frame
    raw = _read_raw(file, sealed=False)
    values = [np.arange(1, len(raw.boxes) + 1), *raw.boxes.T, np.nan if raw.scores is None else raw.scores]
    values += ["" if raw.flags is None else raw.flags, np.nan if raw.times is None else raw.times]
    return pd.DataFrame(dict(zip(_COLUMNS, values)))


def _recorded(file: Path, manifest: dict[str, Any], frames: int) -> tuple[np.ndarray | None, list[str] | None]:
    """Scores and flags of a manifest, where it has them.

    Raises:
        UserError: they are not a number and a word for every frame.
    """
    scores, flags = manifest.get("scores"), manifest.get("flags")
    if scores is None and flags is None:
        return None, None
    if not (isinstance(scores, list) and isinstance(flags, list)):
        raise UserError(f"{file}: its scores and flags are not two lists; run the tracker again")
    if not all(type(score) in (int, float) for score in scores):
        raise UserError(f"{file}: a score that is not a number; run the tracker again")
    if not len(scores) == len(flags) == frames:
        found = f"{len(scores)} scores and {len(flags)} flags"
        raise UserError(f"{file}: {found} for {frames} boxes; run the tracker again")
    return np.array(scores, np.float64), [str(flag) for flag in flags]


def _difference(old: Any, new: Any) -> str:
    """The first difference of two JSON values, in few words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return f"{key} was {old.get(key)!r}, is {new.get(key)!r}"
    return f"was {old!r}, is {new!r}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in ("ebm-tracking", *_RECORDED):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
