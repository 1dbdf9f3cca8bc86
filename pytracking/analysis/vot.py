"""The VOT protocol for supervised runs: accuracy, robustness and expected average overlap (EAO), with rotated boxes.

python -m pytracking.analysis.vot DaSiamRPN/baseline=DaSiamRPN --annotations VOT2018.json
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltr.errors import check_names, exit_status
from pytracking.analysis.metrics import region_overlap
from pytracking.analysis.tables import format_table
from pytracking.analysis.votfiles import Annotation, Trajectory, read_trajectories, read_vot_annotations
from pytracking.evaluation.run_options import report_unreadable


@dataclass(frozen=True)
class VotProtocol:
    """Numbers of one year's challenge.

    Attributes:
        name: name beside every figure.
        low, high: sequence lengths, both included, over which the expected overlap is averaged to the EAO.
        burn_in: frames from an initialisation on that do not count for accuracy.
        skip: frames between a failure and the next initialisation.
        source: publication that states the numbers.
    """

    name: str
    low: int
    high: int
    burn_in: int = 10
    skip: int = 5
    source: str = "Kristan et al.: the Visual Object Tracking challenge's results of that year, baseline experiment"


VOT_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        VotProtocol("vot2016", 108, 371),
        VotProtocol("vot2018", 100, 356),
        VotProtocol("vot2019", 46, 291),
    )
}


@dataclass(frozen=True)
class VotFigures:
    """One tracker's figures under a VOT protocol.

    Attributes:
        accuracy: mean overlap of the frames that are tracked, without those of the burn-in; in [0, 1].
        robustness: failures per 100 frames.
        eao: expected average overlap.
        failures: failures of one run over the data set (a mean over repetitions).
        per_sequence: name -> (accuracy, failures of one run).
        per_attribute: name -> (accuracy, failures of one run) over the frames that are tagged with it.
    """

    accuracy: float
    robustness: float
    eao: float
    failures: float
    per_sequence: dict[str, tuple[float, float]]
    per_attribute: dict[str, tuple[float, float]]


def evaluate(
    trajectories: dict[str, list[Trajectory]], annotations: dict[str, Annotation], protocol: VotProtocol
) -> VotFigures:
    """Accuracy, robustness and EAO of one tracker.

    Args:
        trajectories: sequence -> its repetitions, from `read_trajectories`.
        annotations: sequence -> regions and tags, from `read_vot_annotations`.
        protocol: burn-in, skip and interval of lengths.
    """
    runs: list[tuple[np.ndarray, list[int]]] = []
    parts: list[_Part] = []
    for name, repetitions in trajectories.items():
        for trajectory in repetitions:
            overlap = _overlaps(trajectory, annotations[name])
            runs.append((overlap, trajectory.failures))
            counted = overlap.copy()
            for start in trajectory.starts:
                counted[start : start + protocol.burn_in] = np.nan
            parts.append(_Part(name, 1 / len(repetitions), counted, trajectory.failures, annotations[name].tags))
    tags = dict.fromkeys(tag for part in parts for tag in part.tags)
    frames = sum(part.weight * len(part.overlap) for part in parts)
    accuracy, failures = _summary(parts)
    return VotFigures(
        accuracy=accuracy,
        robustness=100 * failures / frames,
        eao=expected_average_overlap(runs, protocol),
        failures=failures,
        per_sequence={name: _summary([part for part in parts if part.name == name]) for name in trajectories},
        per_attribute={tag: _summary(parts, tag) for tag in tags},
    )


@dataclass(frozen=True)
class _Part:
    """One repetition of one sequence: what it weighs, its counted overlaps [T] (NaN elsewhere), failures and tags."""

    name: str
    weight: float
    overlap: np.ndarray
    failures: list[int]
    tags: dict[str, np.ndarray]


def _summary(parts: list[_Part], tag: str | None = None) -> tuple[float, float]:
    """(accuracy, failures of one run) over all frames or those of a tag; the accuracy is NaN where there is none."""
    total = weights = failures = 0.0
    for part in parts:
        frames = len(part.overlap)
        kept = np.ones(frames, bool) if tag is None else part.tags.get(tag, np.zeros(frames, bool))
        counted = kept & ~np.isnan(part.overlap)
        total += part.weight * float(part.overlap[counted].sum())
        weights += part.weight * int(counted.sum())
        failures += part.weight * sum(bool(kept[frame]) for frame in part.failures)
    return (total / weights if weights else float("nan")), failures


def _overlaps(trajectory: Trajectory, annotation: Annotation) -> np.ndarray:
    """[T] overlap in [0, 1] where the tracker answered a region, NaN elsewhere."""
    overlap = np.full(len(trajectory.regions), np.nan)
    for frame in np.flatnonzero(~np.isnan(trajectory.regions).any(axis=(1, 2))):
        overlap[frame] = region_overlap(trajectory.regions[frame], annotation.regions[frame])
    return overlap


def expected_average_overlap(runs: list[tuple[np.ndarray, list[int]]], protocol: VotProtocol) -> float:
    """EAO: the mean over lengths N = low+1 ... high+1 of the mean over fragments of the mean overlap of frames 2 ... N.

    Args:
        runs: (overlap [T], NaN where the tracker gave no region; frames of failure) of every sequence and repetition.
        protocol: skip and interval of lengths. A fragment that is shorter than N counts only where it
            failed, with zeros for what is missing.
    """
    lengths = np.arange(protocol.low + 1, protocol.high + 2)
    total, count = np.zeros(len(lengths)), np.zeros(len(lengths))
    for fragment in (piece for overlap, failures in runs for piece in _fragments(overlap, failures, protocol.skip)):
        failed = bool(fragment[-1] == -1)
        known = np.nan_to_num(fragment[1 : len(fragment) - failed])
        sums = np.concatenate([[0.0], np.cumsum(known)])
        reached = np.minimum(lengths - 1, len(known))
        counted = failed | (lengths - 1 <= len(known))
        total += np.where(counted, sums[reached] / (lengths - 1), 0.0)
        count += counted
    defined = count > 0
    return float((total[defined] / count[defined]).mean()) if defined.any() else float("nan")


def _fragments(overlap: np.ndarray, failures: list[int], skip: int) -> list[np.ndarray]:
    """Overlaps [length] from each initialisation on.

    A last element of -1 says that the fragment failed, so that its overlap is zero from there on. One that ends with
    the sequence ends there, and so does, as in the challenge's toolkit, one whose failure leaves no room for a restart.
    """
    starts = [0] + [failure + skip for failure in failures if failure + skip < len(overlap)]
    pieces = [np.append(overlap[start:failure], -1.0) for start, failure in zip(starts[:-1], failures)]
    # NaN at the end is left out, but for the initialisation.
    tail = overlap[starts[-1] :]
    last = np.flatnonzero(~np.isnan(tail)).max(initial=0)
    return [*pieces, tail[: last + 1]]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pytracking.analysis.vot",
        description="Print accuracy, robustness and EAO of supervised runs (VOT's baseline experiment).",
    )
    parser.add_argument(
        "results", nargs="+", metavar="FOLDER[=NAME]", help="results, <sequence>/<sequence>_001.txt in each"
    )
    parser.add_argument(
        "--annotations",
        required=True,
        type=Path,
        help="VOT2018.json of pysot, or a folder of <sequence>/groundtruth.txt",
    )
    parser.add_argument("--protocol", default="vot2018", help=f"of {', '.join(VOT_PROTOCOLS)} (default: vot2018)")
    parser.add_argument("--per_sequence", action="store_true", help="accuracy and failures of every sequence, too")
    parser.add_argument("--per_attribute", action="store_true", help="accuracy and failures of every attribute, too")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 when a sequence cannot be read; the others are shown."""
    args = build_parser().parse_args(argv)
    check_names("VOT protocol", [args.protocol], VOT_PROTOCOLS)
    protocol = VOT_PROTOCOLS[args.protocol]
    unreadable: dict[str, str] = {}
    annotations = read_vot_annotations(args.annotations, unreadable)
    figures: dict[str, VotFigures] = {}
    for text in args.results:
        folder, _, name = text.partition("=")
        trajectories = read_trajectories(Path(folder), annotations)
        figures[name or Path(folder).name] = evaluate(trajectories, annotations, protocol)
    print(figures_table(figures, protocol, args.markdown))
    for wanted, field in ((args.per_sequence, "per_sequence"), (args.per_attribute, "per_attribute")):
        if wanted:
            print(f"\n{parts_table(figures, field, args.markdown)}")
    return report_unreadable(unreadable, "scored")


def figures_table(figures: dict[str, VotFigures], protocol: VotProtocol, markdown: bool = False) -> str:
    """One row a tracker, best EAO first, and the protocol under it."""
    rows = [
        [name, f"{item.eao:.3f}", f"{item.accuracy:.3f}", f"{item.robustness:.3f}", f"{item.failures:.4g}"]
        for name, item in sorted(figures.items(), key=lambda pair: -pair[1].eao)
    ]
    table = format_table([protocol.name, "EAO", "accuracy", "robustness", "failures"], rows, markdown)
    rule = (
        f"protocol {protocol.name}: lengths {protocol.low} to {protocol.high}, burn-in {protocol.burn_in}, restart "
        f"after {protocol.skip} frames; robustness in failures per 100 frames"
    )
    return f"{table}\n{chr(10) if markdown else ''}{rule}"


def parts_table(figures: dict[str, VotFigures], field: str, markdown: bool = False) -> str:
    """Accuracy and failures of every tracker, a row for each of `field`: 'per_sequence' or 'per_attribute'."""
    parts = {name: getattr(item, field) for name, item in figures.items()}
    keys = dict.fromkeys(key for part in parts.values() for key in part)
    header = [field.removeprefix("per_"), *(f"{name} {what}" for name in parts for what in ("accuracy", "failures"))]
    rows = [
        [key, *(cell for part in parts.values() for cell in (f"{part[key][0]:.3f}", f"{part[key][1]:.4g}"))]
        for key in keys
    ]
    return format_table(header, rows, markdown)


if __name__ == "__main__":
    sys.exit(exit_status(main))
