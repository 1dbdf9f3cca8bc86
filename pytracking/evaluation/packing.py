"""Zips of raw results for the servers of TrackingNet and GOT-10k, written only where a run is complete and our own."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltr.admin.files import whole_file
from ltr.dataset.check import COUNTS
from ltr.errors import UserError, check_names, disk_full, is_disk_full
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import LISTERS, dataset_root, read_sequence
from pytracking.evaluation.results import RawResult, load_result, read_manifest
from pytracking.evaluation.tracker import parse_runs

_NAMED = 5
# The earliest time that a zip can tell: the same results give the same bytes.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Server:
    """What an evaluation server expects.

    Attributes:
        dataset: name of the data set, a key of `LISTERS`.
        decimals: number of decimals of a box's coordinates.
        repetitions: number of runs of a tracker that a submission may have.
        times: whether seconds a frame belong to it, in a folder a sequence.
    """

    dataset: str
    decimals: int
    repetitions: int = 1
    times: bool = False


SERVERS = {
    "got10k": Server("got10k_test", decimals=4, repetitions=3, times=True),
    "trackingnet": Server("trackingnet", decimals=2),
}


def pack_results(server: str, runs: list[str], root: Path, output: Path, path: Path | None = None) -> int:
    """Check the results of a tracker on all of a test set, then write the zip that the server takes, whole.

    TrackingNet: `<sequence>.txt`. GOT-10k: `<sequence>/<sequence>_001.txt` (`_002`, `_003` for further runs) and
    `<sequence>/<sequence>_time.txt`, a column a run. Boxes are (x, y, w, h) in pixels, comma separated (two
    decimals for TrackingNet, four for GOT-10k). The same results give the same bytes.

    Args:
        server: 'trackingnet' or 'got10k'.
        runs: runs to pack, each '<tracker>/<parameters>[:<run id>]'; several are repetitions of one tracker.
        root: folder of raw results.
        output: the zip.
        path: the data set's folder, where environment and configuration are not to be asked.

    Returns:
        The number of sequences packed.

    Raises:
        UserError: an unknown server or a malformed run; a sequence of the data set or its result is missing, short,
            not finite, of another first box, of another program, or of other parameters or weights than the rest (the
            first few are listed, and how many there are); no space left. An old zip is then untouched.
    """
    check_names("server", [server], SERVERS)
    rules = SERVERS[server]
    folders = _run_folders(server, rules, runs, root)
    sequences, problems = _read_dataset(rules.dataset, path)
    files: dict[str, str] = {}
    settings: dict[str, Any] = {}
    for sequence in sequences:
        results = []
        for folder in folders:
            try:
                results.append(_checked_result(folder, sequence, rules, settings))
            except UserError as error:
                problems.append(str(error))
        if len(results) == len(folders):
            files |= _format_sequence(sequence.name, results, rules)
    if problems:
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise UserError(
            f"{', '.join(runs)} cannot be packed for {server}, {len(problems)} "
            f"problem{'s' if len(problems) > 1 else ''}: {'; '.join(problems[:_NAMED])}{more}"
        )
    try:
        with whole_file(output) as temporary:
            temporary.write_bytes(_zip_bytes(files))
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(output, "no zip was written, an older one is kept") from None
        raise
    return len(sequences)


def _run_folders(server: str, rules: Server, runs: list[str], root: Path) -> list[Path]:
    folders = []
    for run in runs:
        folders += [found.result_folder(root) for found in parse_runs(run)]
        if not folders[-1].is_dir():
            raise UserError(f"{folders[-1]}: no results of {run}; run the tracker, or name their folder by --results")
    if not 1 <= len(folders) <= rules.repetitions or len(set(folders)) < len(folders):
        allowed = "one run" if rules.repetitions == 1 else f"1 to {rules.repetitions} different runs"
        raise UserError(f"{server} takes {allowed} of a tracker, got {', '.join(runs) or 'none'}")
    return folders


def _read_dataset(dataset: str, path: Path | None) -> tuple[list[Sequence], list[str]]:
    """The sequences that can be read, and what keeps the data set from being whole."""
    listed = LISTERS[dataset](dataset_root(dataset, path))
    sequences, problems = [], []
    expected = COUNTS.get(dataset, len(listed))
    if len(listed) != expected:
        problems.append(f"{len(listed)} sequences of {dataset} on disk, {expected} expected")
    for files in listed:
        try:
            sequences.append(read_sequence(files))
        except UserError as error:
            problems.append(str(error))
    return sequences, problems


def _checked_result(folder: Path, sequence: Sequence, rules: Server, settings: dict[str, Any]) -> RawResult:
    """A complete result of our own. `settings` are those of the results before it, filled by the first.

    Raises:
        UserError: it is missing, not complete, not our own, or of other settings.
    """
    file = folder / f"{sequence.name}.txt"
    if not file.exists():
        raise UserError(f"{file}: no result")
    manifest = _read_manifest(folder, sequence)
    result = load_result(folder, sequence)
    frames = len(sequence.frames)
    if len(result.boxes) != frames:
        raise UserError(f"{file}: {len(result.boxes)} boxes for {frames} frames")
    if not (finite := np.isfinite(result.boxes).all(axis=1)).all():
        raise UserError(f"{file}, line {int(finite.argmin()) + 1}: the box is not finite")
    given = sequence.ground_truth_rect[0]
    # The last term is for the binary representation of decimals that are exactly half a unit apart.
    if not (np.abs(result.boxes[0] - given) <= 0.5 * 10.0**-rules.decimals + 1e-9).all():
        raise UserError(f"{file}: the first box is {result.boxes[0].tolist()}, given is {given.tolist()}")
    if rules.times and result.times is None:
        raise UserError(f"{folder / sequence.name}_time.txt: no times; run the tracker again with --force")
    for key in ("tracker", "parameter", "parameters", "weights_sha256"):
        if settings.setdefault(key, manifest.get(key)) != manifest.get(key):
            raise UserError(f"{file}: its {key} differ from those of the results before it; run the tracker again")
    return result


def _read_manifest(folder: Path, sequence: Sequence) -> dict[str, Any]:
    """The manifest of a result that this program made, of this tracker and sequence. Raises `UserError`."""
    file = folder / f"{sequence.name}.json"
    if not file.exists():
        raise UserError(f"{file}: no manifest: written by a killed run or by another program")
    manifest = read_manifest(file)
    if manifest.get("format") == "foreign":
        raise UserError(f"{file}: imported from another program; only results of this one are packed")
    expected = {
        "tracker": folder.parent.name,
        "sequence": sequence.name,
        "num_frames": len(sequence.frames),
        "first_box": sequence.ground_truth_rect[0].tolist(),
    }
    for key, value in expected.items():
        if manifest.get(key) != value:
            raise UserError(f"{file}: {key} is {manifest.get(key)!r}, expected {value!r}; run the tracker again")
    parameter = str(manifest.get("parameter"))
    if not re.fullmatch(re.escape(parameter) + r"(_\d{3,})?", folder.name):
        raise UserError(f"{file}: parameter is {parameter!r}, in the folder of {folder.name!r}; run the tracker again")
    return manifest


def _format_sequence(name: str, results: list[RawResult], rules: Server) -> dict[str, str]:
    """Names in the zip -> texts."""
    boxes = [_format_rows(result.boxes, rules.decimals) for result in results]
    if not rules.times:
        return {f"{name}.txt": boxes[0]}
    files = {f"{name}/{name}_{number:03d}.txt": text for number, text in enumerate(boxes, start=1)}
    times = np.stack([result.times for result in results if result.times is not None], axis=1)
    return {**files, f"{name}/{name}_time.txt": _format_rows(times, 8)}


def _format_rows(rows: Iterable[Iterable[float]], decimals: int) -> str:
    return "".join(",".join(f"{value:.{decimals}f}" for value in row) + "\n" for row in rows)


def _zip_bytes(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()
