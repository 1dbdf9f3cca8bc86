"""Choose a compact tracker's parameters by tracking scenes that its network was not trained on.

    python -m experiments.lite_search --data /data/lite --network workspace/dimp_nceplus_lite/network.safetensors
    python -m experiments.lite_search --composited 120 ...    # more scenes, for a closer comparison
    python -m experiments.lite_search --table                 # what is in the results already

Real scenes are the held-out videos of the data folder (`ltr.dataset.lite.video_in_split`), composited ones are made of
its held-out pictures. A row of results is kept as soon as it is there, and what is there is not tracked again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from experiments.common import command_line, positive
from ltr.admin.files import write_json
from ltr.data.image import read_image
from ltr.dataset.boxfile import read_boxes
from ltr.dataset.composited import CompositedVideo
from ltr.dataset.folders import list_frames
from ltr.dataset.lite import LISTED_FAMILIES, build_lite_datasets, video_in_split
from ltr.errors import UserError, exit_status
from ltr.ops.boxes import iou
from pytracking.analysis.bootstrap import paired_difference
from pytracking.networks import checksum
from pytracking.registry import load_tracker

RESULTS = Path("experiments/cards/lite_search.json")
PARAMETER = "dimp_nceplus_lite"
COMPOSITED = 40
_LENGTH = 40
_SEED = 1000
_THRESHOLDS = np.linspace(0, 1, 21)
_PLAIN = {"displacement_penalty": 0.0, "distractor_penalty": 0.0, "target_not_found_threshold": 0.25}
_CHOSEN = {
    "displacement_penalty": 0.4,
    "velocity_weight": 0.8,
    "distractor_penalty": 0.5,
    "target_not_found_threshold": 0.2,
}

_HALF_THE_STEPS: dict[str, Any] = {"box_refinement_iter": 5, "box_refinement_step_length": (1e-3, 4e-3)}
_SHRINKING_STEPS: dict[str, Any] = {
    "box_refinement_iter": 5,
    "box_refinement_step_length": (1.4e-3, 5.6e-3),
    "box_refinement_step_decay": 0.8,
}
_STEEP_STEPS: dict[str, Any] = {
    "box_refinement_iter": 4,
    "box_refinement_step_length": (2.2e-3, 8.8e-3),
    "box_refinement_step_decay": 0.6,
}


def _samples(side: int) -> dict[str, Any]:
    """Samples of a side in pixels that show targets as large as 256 do."""
    return {"image_sample_size": side, "search_area_scale": side * 5 / 256}


# Each changes one thing (or two that belong together) in the parameters as they are.
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    # What was chosen against look-alikes, and what of it is left out.
    "no penalties": _PLAIN,
    "penalties, threshold 0.2": _CHOSEN,
    "no penalties, threshold 0.2": _PLAIN | {"target_not_found_threshold": 0.2},
    "penalties": _CHOSEN | {"target_not_found_threshold": 0.25},
    "no distractor_penalty, threshold 0.2": _CHOSEN | {"distractor_penalty": 0.0},
    "no displacement_penalty, threshold 0.2": _CHOSEN | {"displacement_penalty": 0.0},
    "no velocity_weight, threshold 0.2": _CHOSEN | {"velocity_weight": 0.0},
    "penalties, threshold 0.2, train_skipping 3": _CHOSEN | {"train_skipping": 3},
    "penalties, threshold 0.2, 5 steps": _CHOSEN | _HALF_THE_STEPS,
    **{f"penalties, threshold 0.2, {p} px, 5 steps": _CHOSEN | _HALF_THE_STEPS | _samples(p) for p in (160, 192)},
    **{f"search_area_scale {s:g}": {"search_area_scale": s} for s in (4.0, 4.5, 5.5)},
    **{f"target_not_found_threshold {t:g}": {"target_not_found_threshold": t} for t in (0.1, 0.4)},
    **{f"distractor_threshold {t:g}": {"distractor_threshold": t} for t in (0.6, 0.9)},
    **{f"hard_negative_threshold {t:g}": {"hard_negative_threshold": t} for t in (0.3, 0.7)},
    **{f"hard_negative_learning_rate {r:g}": {"hard_negative_learning_rate": r} for r in (0.05,)},
    **{f"train_skipping {n}": {"train_skipping": n} for n in (5, 10)},
    **{f"learning_rate {r:g}": {"learning_rate": r} for r in (0.005, 0.02)},
    "memory 100": {"sample_memory_size": 100},
    "refinement 5 x (0.001, 0.004)": _HALF_THE_STEPS,
    "refinement 20 x (0.00025, 0.001)": {"box_refinement_iter": 20, "box_refinement_step_length": (2.5e-4, 1e-3)},
    "4 starts": {"num_init_random_boxes": 4},
    **{f"{n} starts, 5 steps": {"num_init_random_boxes": n - 1, **_HALF_THE_STEPS} for n in (3, 5)},
    **{f"{p} px, 5 steps": {**_samples(p), **_HALF_THE_STEPS} for p in (160, 192)},
    **{
        f"{p} px, 5 starts, 5 steps": {**_samples(p), "num_init_random_boxes": 4, **_HALF_THE_STEPS} for p in (192, 224)
    },
    "288 px": {"image_sample_size": 288, "search_area_scale": 5.625},
    "bf16": {"precision": "bf16", "backend": "torch"},
    "int8": {"precision": "int8"},
    "160 px, 5 steps, int8": {**_samples(160), **_HALF_THE_STEPS, "precision": "int8"},
    "refinement 7 x (0.0007, 0.0028)": {"box_refinement_iter": 7, "box_refinement_step_length": (7e-4, 2.8e-3)},
    "refinement 5 x (0.0014, 0.0056), decay 0.8": _SHRINKING_STEPS,
    "refinement 4 x (0.0022, 0.0088), decay 0.6": _STEEP_STEPS,
    **{
        f"{n} steps of (0.0022, 0.0088), 160 px": _STEEP_STEPS | _samples(160) | {"box_refinement_iter": n}
        for n in (3, 4)
    },
    "5 shrinking steps, int8": _SHRINKING_STEPS | {"precision": "int8"},
    **{f"5 shrinking steps, {p} px": _SHRINKING_STEPS | _samples(p) for p in (160, 208, 224, 240)},
    "5 shrinking steps, 224 px of a region as large": _SHRINKING_STEPS | {"image_sample_size": 224},
    "5 shrinking steps, 224 px, int8": _SHRINKING_STEPS | _samples(224) | {"precision": "int8"},
    "5 shrinking steps, 160 px, int8": _SHRINKING_STEPS | _samples(160) | {"precision": "int8"},
}


@dataclass(frozen=True)
class Scene:
    """A validation sequence.

    Attributes:
        name: 'composited_<k>', or the video's folder.
        boxes: [T, 4] (x, y, w, h) in pixels.
        counted: [T] bool, frames that count: annotated and visible.
        frame: reads frame t, uint8 RGB [H, W, 3].
    """

    name: str
    boxes: np.ndarray
    counted: np.ndarray
    frame: Callable[[int], np.ndarray]


def real_scenes(root: Path) -> list[Scene]:
    """The held-out videos of consecutive frames below `<root>/videos`."""
    found = []
    for folder in sorted((root / "videos").iterdir()):
        if folder.name.startswith(LISTED_FAMILIES) and video_in_split(folder.name, "val"):
            boxes, frames = read_boxes(folder / "groundtruth_rect.txt"), list_frames(folder / "img")
            counted = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
            found.append(Scene(folder.name, boxes, counted, partial(_read, frames)))
    return found


def composited_scenes(root: Path, count: int = COMPOSITED) -> list[Scene]:
    """So many composited videos of held-out pictures, which begin with a visible target."""
    made = next(data for data, _ in build_lite_datasets(root, "val", 0) if isinstance(data, CompositedVideo))
    videos = CompositedVideo(
        made.cutouts, made.backgrounds, 1000, replace(made.settings, length=_LENGTH), _SEED, "composited"
    )
    found: list[Scene] = []
    for index in range(len(videos)):
        info = videos.sequence_info(index)
        if info.visible[0] and info.visible.mean() > 0.7:
            found.append(Scene(f"composited_{index}", info.boxes, info.visible, partial(_render, videos, index)))
        if len(found) == count:
            break
    return found


def _read(frames: Sequence[Path], t: int) -> np.ndarray:
    return read_image(frames[t])


def _render(videos: CompositedVideo, index: int, t: int) -> np.ndarray:
    return videos.frames(index, [t])[0]


def success(boxes: np.ndarray, scene: Scene) -> float:
    """Area under the success curve of boxes [T, 4] in the frames that count, the first left out, in per cent."""
    counted = scene.counted.copy()
    counted[0] = False
    overlap = iou(torch.from_numpy(boxes[counted]).double(), torch.from_numpy(scene.boxes[counted]).double()).numpy()
    return float(100 * (overlap[:, None] > _THRESHOLDS).mean())


def track(scenes: Sequence[Scene], network: Path, changes: dict[str, Any], parameter: str) -> dict[str, Any]:
    """AUC of every scene, and the median milliseconds of a frame."""
    tracker = load_tracker(parameter, net_path=str(network), device="cpu", **changes)
    auc, times = {}, []
    for scene in scenes:
        boxes = scene.boxes.astype(float).copy()
        tracker.initialize(scene.frame(0), boxes[0].tolist())
        for t in range(1, len(boxes)):
            image = scene.frame(t)
            began = time.perf_counter()
            boxes[t] = tracker.track(image).box
            times.append(time.perf_counter() - began)
        auc[scene.name] = round(success(boxes, scene), 3)
    return {"auc": auc, "milliseconds": round(1000 * float(np.median(times)), 1)}


def search(
    scenes: Sequence[Scene], network: Path, variants: dict[str, dict[str, Any]], parameter: str, output: Path
) -> list[dict[str, Any]]:
    """Rows of the variants, those in `output` kept; it is written after each."""
    rows: list[dict[str, Any]] = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else []
    weights = checksum(network)[:12]
    wanted = {scene.name for scene in scenes}
    for name, changes in tqdm(variants.items(), desc="variants", unit="variant"):
        key = {"weights": weights, "parameter": parameter, "changes": json.loads(json.dumps(changes))}
        if any(all(row[k] == value for k, value in key.items()) and wanted == set(row["auc"]) for row in rows):
            continue
        rows.append({"name": name, **key, **track(scenes, network, changes, parameter)})
        write_json(output, rows)
    return [row for row in rows if row["weights"] == weights]


def table(rows: Sequence[dict[str, Any]], against: str = "") -> str:
    """Rows against the first of the same weights: mean AUC, real and composited, difference with a paired interval.

    Args:
        rows: from `search`.
        against: start of a checksum of weights; rows are then compared with their variant's row of these weights. Of
            several, one that shares the most scenes is taken.
    """
    lines = ["| weights | variant | AUC | real | composited | difference | 95 % | ms |", "|---" * 8 + "|"]
    for row in rows:
        of_base = [other for other in rows if other["weights"].startswith(against or row["weights"])]
        of_base = [other for other in of_base if not against or other["name"] == row["name"]]
        if not of_base:
            continue
        base = max(of_base, key=lambda other: len(other["auc"].keys() & row["auc"].keys()))
        names = [name for name in row["auc"] if name in base["auc"]]
        values = np.array([row["auc"][name] for name in names])
        made = np.array([name.startswith("composited") for name in names])
        found = paired_difference(values, np.array([base["auc"][name] for name in names]))
        cells = (
            row["weights"][:6],
            row["name"],
            *(f"{values[part].mean():.1f}" if part.any() else "-" for part in (made | ~made, ~made, made)),
            f"{found.mean:+.1f}",
            f"{found.low:+.1f} to {found.high:+.1f}",
            f"{row['milliseconds']:g}" if row["milliseconds"] else "-",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Iterable[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = command_line("lite_search", __doc__)
    parser.add_argument("--data", type=Path, help="the data folder (docs/data.md, 'lite')")
    parser.add_argument("--network", type=Path, action="append", default=[], help="a network; several are compared")
    parser.add_argument("--parameter", default=PARAMETER, help="parameter file (%(default)s)")
    parser.add_argument("--variant", action="append", help=f"of {', '.join(VARIANTS)}; all by default")
    parser.add_argument("--composited", type=positive, default=COMPOSITED, help="composited scenes (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (%(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="%(default)s")
    parser.add_argument("--table", action="store_true", help="print the results that are there and stop")
    parser.add_argument("--against", default="", help="weights whose same variants are compared with, such as 0812df")
    options = parser.parse_args(None if arguments is None else list(arguments))
    return exit_status(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    if not options.table:
        if options.data is None or not options.network:
            raise UserError("name the data folder (--data) and a network (--network), or --table")
        torch.set_num_threads(options.threads)
        chosen = {name: VARIANTS[name] for name in options.variant or VARIANTS if name in VARIANTS}
        if unknown := set(options.variant or ()) - set(chosen):
            raise UserError(f"no variant '{min(unknown)}'; there are {', '.join(VARIANTS)}")
        scenes = [*real_scenes(options.data), *composited_scenes(options.data, options.composited)]
        for network in options.network:
            search(scenes, network, chosen, options.parameter, options.output)
    print(table(json.loads(options.output.read_text(encoding="utf-8")), options.against))
    return 0


if __name__ == "__main__":
    sys.exit(main())
