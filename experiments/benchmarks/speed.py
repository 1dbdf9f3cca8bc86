"""Frames per second of trackers on this machine, all in one run, and where a DiMP tracker's time goes.

    python -m experiments.benchmarks.speed --parameters dimp_nceplus_lite dimp18 super_dimp kcf --json speed.json
    python -m experiments.benchmarks.speed --parameters dimp_nceplus_lite dimp18 --batch 8

With --batch it compares so many targets in one batch with the same targets one after the other.

Frames are read before the clock starts. A DiMP network whose weights are not here gets random ones: the work of a frame
is the same then, since such a tracker is made to treat every frame as a normal one.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from experiments.common import command_line, positive
from ltr.admin.checkpoint import save_network
from ltr.admin.files import write_json
from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import UserError, exit_status
from ltr.run_training import load_recipe, recipes
from pytracking.analysis.tables import format_table
from pytracking.evaluation.datasets import get_dataset
from pytracking.networks import network_file
from pytracking.registry import find_tracker, load_parameters, load_tracker
from pytracking.tracker.base import Box, Tracker

SYNTHETIC = "synthetic"

# Parts of a DiMP tracker's work on a frame, and whether each is the network's (its gradients and updates included).
STAGES = {
    "crop": ("_crop", False),
    "features": ("_extract", True),
    "scores": ("_score_maps", True),
    "box": ("_answers", True),
    "memory": ("_remember", False),
    "learning": ("_learn", True),
}

# With random weights a peak means nothing: every frame counts as a target found without a distractor.
ALWAYS_NORMAL: dict[str, Any] = {
    "target_not_found_threshold": -math.inf,
    "distractor_threshold": 1.0,
    "hard_negative_threshold": 1.0,
}


@dataclass(frozen=True)
class Speed:
    """What was measured of one tracker.

    Attributes:
        tracker, parameter: its names.
        weights: 'own', 'random', or 'none' for a tracker without a network.
        initialise: seconds of `initialize`.
        fps: frames over the sum of their times.
        median, p10, p90: seconds a frame, of the frames after the warm-up.
        shares: stage -> share of the time; empty for a tracker without a network.
        network: share of the time that the network takes; None for a tracker without one.
    """

    tracker: str
    parameter: str
    weights: str
    initialise: float
    fps: float
    median: float
    p10: float
    p90: float
    shares: dict[str, float]
    network: float | None


def synthetic_clip(count: int, width: int = 640, height: int = 360, seed: int = 0) -> tuple[list[np.ndarray], Box]:
    """Uint8 RGB frames [height, width, 3] of a textured square drifting over textured ground, and its first box."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    ground = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    side = height // 5
    target = cv2.resize(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8), (side, side))
    frames = []
    for number in range(count):
        angle = number / 15
        x = round((width - side) * (0.5 + 0.3 * math.sin(angle)))
        y = round((height - side) * (0.5 + 0.3 * math.sin(0.7 * angle)))
        frame = ground.copy()
        frame[y : y + side, x : x + side] = target
        frames.append(frame)
    return frames, (round((width - side) * 0.5), round((height - side) * 0.5), side, side)


def read_clip(name: str, count: int) -> tuple[list[np.ndarray], Box]:
    """The first `count` frames of a demo clip and its first box; a shorter clip is played back and forth.

    Raises:
        UserError: unknown clip.
    """
    if name == SYNTHETIC:
        return synthetic_clip(count)
    (sequence,) = get_dataset("demo", sequences=[name])
    images = [sequence.image(number) for number in range(min(count, len(sequence.frames)))]
    there_and_back = images + images[-2:0:-1]
    x, y, w, h = sequence.ground_truth_rect[0].tolist()
    return [there_and_back[number % len(there_and_back)] for number in range(count)], (x, y, w, h)


def recipe_of(net_name: str) -> str:
    """The name of the recipe that trains a network; it says which constructor the network has."""
    return {"atom_default": "atom"}.get(net_name, net_name)


def create(parameter: str, device: str) -> tuple[Tracker, str]:
    """The tracker, and whether its weights are its 'own', 'random' or 'none'.

    Raises:
        UserError: unknown parameter, or a network that cannot be loaded.
    """
    name, parameter = find_tracker(parameter)
    if name not in ("dimp", "atom"):
        return load_tracker(parameter, name), "none"
    net_name = load_parameters(parameter, name).net_name
    try:
        network_file(net_name)
    except UserError:
        if (recipe := recipe_of(net_name)) not in recipes():
            raise
    else:
        return load_tracker(parameter, name, device=device), "own"
    constructor = NetworkConstructor(load_recipe([recipe]).network.name)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        save_network(path, constructor.build(), constructor)
        return load_tracker(parameter, name, device=device, net_path=str(path), **ALWAYS_NORMAL), "random"


def wait_for_device() -> None:
    """Let a GPU finish what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """How long a call takes on the wall's clock, and what it returns."""
    wait_for_device()
    start = time.perf_counter()
    result = function(*arguments)
    wait_for_device()
    return time.perf_counter() - start, result


def time_stages(tracker: Any) -> dict[str, float]:
    """Make an `OnlineTracker` add up the seconds of its stages in the returned dictionary."""
    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            took, result = seconds(lambda: method(*arguments, **keywords))
            spent[stage] += took
            return result

        return call

    for stage, (method, _) in STAGES.items():
        setattr(tracker.targets, method, timed(stage, getattr(tracker.targets, method)))
    return spent


def measure(parameter: str, images: list[np.ndarray], box: Box, warmup: int, device: str = "auto") -> Speed:
    """Run a tracker over `images` (uint8 RGB [H, W, 3]) and time every frame after the first and `warmup` more."""
    tracker, weights = create(parameter, device)
    spent = {} if weights == "none" else time_stages(tracker)
    initialise, _ = seconds(tracker.initialize, images[0], box)
    for image in images[1 : 1 + warmup]:
        tracker.track(image)
    spent.clear()
    times = np.array([seconds(tracker.track, image)[0] for image in images[1 + warmup :]])
    shares = {stage: spent[stage] / times.sum() for stage in STAGES} if weights != "none" else {}
    p10, median, p90 = (float(value) for value in np.percentile(times, [10, 50, 90]))
    return Speed(
        tracker=find_tracker(parameter)[0],
        parameter=parameter,
        weights=weights,
        initialise=initialise,
        fps=float(len(times) / times.sum()),
        median=median,
        p10=p10,
        p90=p90,
        shares=shares,
        network=sum(shares[stage] for stage, (_, network) in STAGES.items() if network) if shares else None,
    )


def measure_batch(
    parameter: str, images: list[np.ndarray], box: Box, count: int, warmup: int, device: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds a target and frame, [frames], of `count` targets in a batch, and one after the other.

    The targets are the clip's own, at `count` times one frame apart. Both ways see each frame before the next one, and
    take turns in being the first.

    Raises:
        UserError: a tracker that does not track in batches.
    """
    ways: list[Any] = [getattr(create(parameter, device)[0], "targets", None) for _ in range(2)]
    if None in ways:
        raise UserError(f"{parameter} does not track in batches")
    for targets in ways:
        for _ in range(count):
            targets.add(images[0], box)

    def together(numbers: dict[int, np.ndarray]) -> None:
        ways[0].track(numbers)

    def in_turn(numbers: dict[int, np.ndarray]) -> None:
        for slot, image in numbers.items():
            ways[1].track({slot: image})

    times: list[list[float]] = [[], []]
    for frame in range(1, len(images)):
        numbers = {slot: images[max(0, frame - slot)] for slot in range(count)}
        for way in (frame % 2, 1 - frame % 2):
            times[way].append(seconds((together, in_turn)[way], numbers)[0] / count)
    batch, alone = np.array(times)[:, warmup:]
    return batch, alone


def describe_machine() -> dict[str, str | int]:
    """Processor, cores, GPU and versions."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": named[0] if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
    }


def write_measurements(options: argparse.Namespace, **measured: Any) -> None:
    """Write machine, settings and what was measured to the file of `--json`, if that was given."""
    if options.json:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
        del settings["json"]
        write_json(options.json, {"machine": describe_machine(), "settings": settings, **measured})


def table(results: list[Speed]) -> str:
    """The results as text, a line a tracker; times in milliseconds, stages in per cent of a frame's time."""
    rows = []
    for result in results:
        times = [f"{result.median * 1e3:.1f}", f"{result.p10 * 1e3:.1f}-{result.p90 * 1e3:.1f}"]
        shares = [f"{share:.0%}" for share in (*result.shares.values(), *filter(None, [result.network]))]
        row = [result.parameter, f"{result.fps:.1f}", *times, f"{result.initialise * 1e3:.0f}", result.weights, *shares]
        rows.append(row + [""] * (len(STAGES) + 1 - len(shares)))
    return format_table(["parameter", "fps", "median", "p10-p90", "init", "weights", *STAGES, "network"], rows)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line("benchmarks.speed", __doc__)
    parser.add_argument("--parameters", nargs="+", required=True, metavar="NAME", help="such as dimp_nceplus_lite, kcf")
    parser.add_argument(
        "--threads", type=positive, default=2, help="threads of torch and OpenCV (default: %(default)s)"
    )
    parser.add_argument("--frames", type=positive, default=60, help="timed frames (default: %(default)s)")
    parser.add_argument("--warmup", type=positive, default=5, help="frames before them (default: %(default)s)")
    parser.add_argument("--clip", default="juggler", help=f"a demo clip, or '{SYNTHETIC}' (default: %(default)s)")
    parser.add_argument(
        "--device", default="auto", help="device of the networks: cpu, cuda or auto (default: %(default)s)"
    )
    parser.add_argument("--batch", type=positive, metavar="N", help="compare N targets in a batch with one by one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, settings and results there too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0."""
    args = build_parser().parse_args(argv)
    for parameter in args.parameters:
        find_tracker(parameter)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    images, box = read_clip(args.clip, 1 + args.warmup + args.frames)
    height, width = images[0].shape[:2]
    print(", ".join(f"{key}: {value}" for key, value in describe_machine().items()))
    print(f"clip: {args.clip}, {width} x {height}; {args.frames} frames after {args.warmup}; threads: {args.threads}")
    if args.batch:
        for parameter in args.parameters:
            batch, alone = measure_batch(parameter, images, box, args.batch, args.warmup, args.device)
            print(
                f"{parameter}: {args.batch} targets in a batch {np.median(batch) * 1e3:.1f} ms a target and frame, one "
                f"after the other {np.median(alone) * 1e3:.1f} ms; {np.median(alone / batch):.2f} times as fast"
            )
        return 0
    results = [measure(parameter, images, box, args.warmup, args.device) for parameter in args.parameters]
    print(table(results))
    print("fps: frames over the sum of their times; median, p10-p90 and init in ms; stages in per cent of a frame")
    write_measurements(args, results=[asdict(result) for result in results])
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
