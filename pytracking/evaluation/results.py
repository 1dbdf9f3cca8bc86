"""Raw results on disk: boxes, times and a manifest that tells a complete, current result from a half or stale one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.files import write_json, write_text
from ltr.dataset.boxfile import format_boxes, format_times, read_boxes, read_rows
from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.seeds import sequence_seed
from pytracking.evaluation.tracker import TrackerRun

_FORMAT = 1
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
    """

    boxes: np.ndarray
    times: np.ndarray | None


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

    Args:
        folder: of the tracker's run.
        result: boxes and times.
        description: of `describe_run`; more entries are kept.

    A run that is killed in between leaves no manifest that fits the boxes, so that its result never counts; one that
    fails at the boxes leaves an earlier result as it was.

    Raises:
        OSError: a file cannot be written.
    """
    name = description["sequence"]
    boxes = format_boxes(result.boxes)
    write_text(folder / f"{name}.txt", boxes)
    if result.times is not None:
        write_text(folder / f"{name}_time.txt", format_times(result.times))
    manifest = {**description, "boxes_sha256": hashlib.sha256(boxes.encode()).hexdigest()}
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
        manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    except ValueError:
        return "its manifest is not JSON"
    if not isinstance(manifest, dict):
        return "its manifest is not a JSON object"
    for key in _DECISIVE:
        if manifest.get(key) != description[key]:
            return f"its {key} differ: {_difference(manifest.get(key), description[key])}"
    if manifest.get("boxes_sha256") != hashlib.sha256(boxes.read_bytes()).hexdigest():
        return "its boxes are not those that its manifest describes"
    return None


def load_result(folder: Path, sequence: Sequence) -> RawResult:
    """Read a result, also one of another program (whole pixels, commas, no times, no manifest).

    Raises:
        UserError: no result, one that cannot be parsed, or one that its own manifest does not describe.
    """
    file = folder / f"{sequence.name}.txt"
    boxes = read_boxes(file)
    manifest_file = folder / f"{sequence.name}.json"
    if manifest_file.exists():
        try:
            manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{manifest_file}: not JSON; run the tracker on '{sequence.name}' again") from None
        if (
            not isinstance(manifest, dict)
            or manifest.get("boxes_sha256") != hashlib.sha256(file.read_bytes()).hexdigest()
        ):
            raise UserError(f"{file}: changed or half written since {manifest_file.name}; run the tracker again")
    time_file = folder / f"{sequence.name}_time.txt"
    return RawResult(boxes, read_rows(time_file, 1)[:, 0] if time_file.exists() else None)


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
