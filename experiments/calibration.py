"""How well a box's uncertainty agrees with its true error; chooses the temperature of the energy for it.

    python -m experiments.calibration --data /data/lite --write      # held-out scenes choose; the card keeps it
    python -m experiments.calibration --sequences /data/sequences    # figures on other sequences, with what was chosen
    python -m experiments.calibration --parameter dimp_nce_lite --data /data/lite --write    # another objective's

Errors and deviations are those of the centre, over the annotated box's sides, and of the logarithms of the sides.
Figures and curves are kept by tracker in `experiments/cards/calibration.json`; docs/uncertainty.md shows them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import chi2, spearmanr
from tqdm import tqdm

from experiments.common import command_line, fill, markdown, save_figure
from experiments.lite_search import PARAMETER, Scene, composited_scenes, real_scenes
from ltr.admin.checkpoint import card_path
from ltr.admin.files import write_json, write_text
from ltr.errors import UserError, exit_status
from pytracking.evaluation.datasets import get_dataset
from pytracking.networks import network_file
from pytracking.registry import load_parameters, load_tracker
from pytracking.tracker.base import BoxUncertainty

KEPT = Path("experiments/cards/calibration.json")
PAGE = Path("docs/uncertainty.md")
PICTURE = Path("docs/images/uncertainty.png")
COORDINATES = ("centre x", "centre y", "log width", "log height")
LEVELS = (0.5, 0.8, 0.95)
Compared = tuple[np.ndarray, np.ndarray, np.ndarray]
_TEMPERATURES = np.geomspace(0.1, 10, 81)
_CURVE = np.linspace(0.05, 0.95, 19)


def sequence_scenes(folder: Path) -> list[Scene]:
    """The sequences of a folder, as the data set `folder` lists them."""
    found = []
    for sequence in get_dataset("folder", path=folder):
        boxes = sequence.ground_truth_rect
        counted = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
        if sequence.target_visible is not None:
            counted &= sequence.target_visible
        found.append(Scene(sequence.name, boxes, counted, sequence.image))
    return found


def observe(scenes: Sequence[Scene], parameter: str, frames: int) -> Compared:
    """Track scenes with temperature 1, and compare what the energy says of each box with the annotation.

    Args:
        frames: of each scene, from its first one.

    Returns:
        As `compare`, of the frames that count and have an uncertainty.
    """
    tracker = load_tracker(parameter, device="cpu", box_uncertainty=True, uncertainty_temperature=1.0)
    found = []
    for scene in tqdm(scenes, desc="scenes", unit="scene"):
        tracker.initialize(scene.frame(0), scene.boxes[0].tolist())
        for t in range(1, min(frames, len(scene.boxes))):
            result = tracker.track(scene.frame(t))
            if result.uncertainty is not None and scene.counted[t]:
                found.append((np.array(result.box), scene.boxes[t], result.uncertainty))
    return compare(found)


def compare(found: Iterable[tuple[np.ndarray, np.ndarray, BoxUncertainty]]) -> Compared:
    """What the energy says of boxes beside their errors.

    Args:
        found: boxes [4] (x, y, w, h), the annotated ones, and how sure the first are.

    Returns:
        Deviations [n, 4] and errors [n, 4] in `COORDINATES`, and [n] whether the box overlaps the annotated one.
    """
    deviations, errors, overlap = [], [], []
    for box, true, said in found:
        sides = np.array([said.cx, said.cy, said.w, said.h])
        deviations.append(sides / np.concatenate([true[2:], box[2:]]))
        moved = (box[:2] + box[2:] / 2 - true[:2] - true[2:] / 2) / true[2:]
        errors.append(np.concatenate([moved, np.log(box[2:] / true[2:])]))
        shared = np.minimum(box[:2] + box[2:], true[:2] + true[2:]) - np.maximum(box[:2], true[:2])
        overlap.append(bool((shared > 0).all()))
    return np.array(deviations).reshape(-1, 4), np.array(errors).reshape(-1, 4), np.array(overlap, bool)


def coverage(deviations: np.ndarray, errors: np.ndarray, levels: Iterable[float], temperature: float) -> np.ndarray:
    """Parts [len(levels), 5] of the errors [n, 4] inside the region of each probability.

    The regions are intervals of each coordinate and, last, the ellipsoid of all four, taken as independent.
    """
    squares = (errors / deviations) ** 2 / temperature
    apart = [(squares <= chi2.ppf(level, 1)).mean(axis=0) for level in levels]
    joint = [(squares.sum(axis=1) <= chi2.ppf(level, 4)).mean() for level in levels]
    return np.column_stack([np.array(apart), joint])


def choose_temperature(deviations: np.ndarray, errors: np.ndarray) -> float:
    """The temperature whose coverage in single coordinates is nearest to `LEVELS`, in the mean of absolute gaps."""
    wanted = np.array(LEVELS)[:, None]
    gaps = [np.abs(coverage(deviations, errors, LEVELS, T)[:, :4] - wanted).mean() for T in _TEMPERATURES]
    return round(float(_TEMPERATURES[int(np.argmin(gaps))]), 3)


def figures(deviations: np.ndarray, errors: np.ndarray, overlap: np.ndarray, temperature: float) -> dict[str, Any]:
    """What is kept of a set of scenes: coverage at temperature 1 and the chosen one, ranks, and the picture's curves.

    Frames whose box does not overlap the annotated one are counted and left out: the energy around a box on another
    object does not know of the target.
    """
    on_target = deviations[overlap], errors[overlap]
    ranks = [spearmanr(on_target[0][:, k], np.abs(on_target[1][:, k])).statistic for k in range(4)]
    return {
        "temperature": temperature,
        "frames": int(overlap.sum()),
        "left_out": int((~overlap).sum()),
        "coverage": {str(T): coverage(*on_target, LEVELS, T).round(4).tolist() for T in (1.0, temperature)},
        "all_frames": coverage(deviations, errors, LEVELS, temperature).round(4).tolist(),
        "rank_correlation": [round(float(rank), 3) for rank in ranks],
        "curves": {str(T): coverage(*on_target, _CURVE, T).round(4).tolist() for T in (1.0, temperature)},
    }


def table(kept: dict[str, Any]) -> str:
    """Coverage in per cent and rank correlations of a tracker on all sets that were measured."""
    rows = []
    for name, found in kept.items():
        for temperature, measured in found["coverage"].items():
            rows.append([f"{name}, {found['frames']} frames, T = {float(temperature):g}", *_in_per_cent(measured)])
        rows.append([f"... and {found['left_out']} frames beside the target", *_in_per_cent(found["all_frames"])])
        rows.append(["rank correlation", *(f"{rank:.2f}" for rank in found["rank_correlation"]), "-"])
    return markdown(["coverage of 50 / 80 / 95 % regions", *COORDINATES, "all four"], rows)


def comparison(kept: dict[str, dict[str, Any]]) -> str:
    """Every tracker in a few rows: coverage of single coordinates, their mean, and of all four."""
    rows = []
    for parameter, sets in kept.items():
        for name, found in sets.items():
            for temperature, measured in found["coverage"].items():
                single = _in_per_cent([[np.mean(row[:4])] for row in measured])[0]
                ranks = f"{np.mean(found['rank_correlation']):.2f}"
                rows.append([parameter, name, f"{float(temperature):g}", single, _in_per_cent(measured)[4], ranks])
    return markdown(["tracker", "scenes", "T", "a coordinate", "all four", "rank correlation"], rows)


def _in_per_cent(measured: Sequence[Sequence[float]]) -> list[str]:
    """A cell for each column of coverage [levels, columns]."""
    return [" / ".join(f"{100 * part:.0f}" for part in column) for column in zip(*measured)]


def draw(kept: dict[str, Any]) -> Figure:
    """Measured against stated probability: full lines with the chosen temperature, dotted ones with 1."""
    figure = Figure(figsize=(4.6 * len(kept), 4.4))
    for axes, (name, found) in zip(np.ravel(figure.subplots(1, len(kept), squeeze=False)), kept.items()):
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for temperature, curves in found["curves"].items():
            style = "-" if float(temperature) == found["temperature"] else ":"
            for number, label in enumerate([*COORDINATES, "all four"]):
                shown = label if style == "-" else None
                axes.plot(_CURVE, np.array(curves)[:, number], style, color=f"C{number}", label=shown)
        axes.set(title=f"{name} ({found['frames']} frames)", xlabel="stated probability", ylabel="measured coverage")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="lower right", fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = command_line("calibration", __doc__)
    parser.add_argument("--data", type=Path, help="data folder (docs/data.md, 'lite'), whose held-out scenes choose")
    parser.add_argument("--sequences", type=Path, help="folder of other sequences, to test on")
    parser.add_argument("--parameter", default=PARAMETER, help="parameters of the tracker (%(default)s)")
    parser.add_argument("--frames", type=int, default=60, help="frames of each sequence (%(default)s)")
    parser.add_argument("--write", action="store_true", help="write the temperature into the network's card")
    parser.add_argument("--output", type=Path, default=KEPT, help="%(default)s")
    parser.add_argument("--page", type=Path, default=PAGE, help="page with a place for the table (%(default)s)")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="%(default)s")
    options = parser.parse_args(arguments)
    if (options.data is None) == (options.sequences is None):
        raise UserError("name the data folder (--data), which chooses the temperature, or --sequences, which tests it")
    kept = json.loads(options.output.read_text(encoding="utf-8")) if options.output.is_file() else {}
    params = load_parameters(options.parameter)
    if options.data is not None:
        scenes = [*real_scenes(options.data), *composited_scenes(options.data)]
        found = observe(scenes, options.parameter, options.frames)
        temperature = choose_temperature(found[0][found[2]], found[1][found[2]])
        kept[options.parameter] = {"validation": figures(*found, temperature)}
        if options.write:
            card_file = card_path(network_file(params.net_name))
            card = json.loads(card_file.read_text(encoding="utf-8"))
            card.setdefault("tracking", {})["uncertainty_temperature"] = temperature
            write_json(card_file, card)
    else:
        found = observe(sequence_scenes(options.sequences), options.parameter, options.frames)
        kept.setdefault(options.parameter, {})["test"] = figures(*found, params.uncertainty_temperature)
    write_json(options.output, kept)
    print(table(kept[options.parameter]))
    shown = kept.get(PARAMETER, {})
    if options.page.is_file():
        text = options.page.read_text(encoding="utf-8")
        tables = {"calibration": table(shown), "calibration-objectives": comparison(kept)}
        write_text(options.page, fill(text, tables, str(options.page)))
    if shown:
        save_figure(draw(shown), options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
