"""What a training step of each method costs, measured in one run, one after the other, and how long a study takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.speed import describe_machine
from experiments.training_methods.evaluation import coarse_grid, fine_grid, refined_ious
from experiments.training_methods.features import CachedCrops, cache_bytes
from experiments.training_methods.heads import HeadUnit, box_settings, head_loss, new_actor
from experiments.training_methods.settings import METHODS, StudySettings, study_recipe
from experiments.training_methods.stages import Workplace
from ltr.actors.tracking import Actor
from ltr.admin.files import write_json
from ltr.admin.inputs import read_json
from ltr.models.tracking.tracking_net import BOX_LAYERS
from pytracking.analysis.tables import format_table
from pytracking.backends import torch_threads
from pytracking.evaluation.data import Sequence as Clip

_WARMUP = 2
_BASE = "iou"
# Frames a second of the compact tracker on one core, for the estimate alone.
_FRAMES_PER_SECOND = 25


def made_up_crops(settings: StudySettings, device: torch.device) -> CachedCrops:
    """One step's crops of random features: the time does not depend on what is in them."""
    data, side = study_recipe(settings).data, settings.crop_size
    net = new_actor(settings, box_settings(HeadUnit("cost", "nceplus"), 1), 0, device).net
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        layers = net.extract_backbone_features(torch.zeros(1, 3, side, side, device=device), BOX_LAYERS)
    frames = {"train": data.train_frames, "test": data.test_frames}
    shape = {part: (count, settings.sequences_per_step) for part, count in frames.items()}
    features = {
        part: {
            name: torch.randn((*shape[part], *layer.shape[1:]), generator=generator) for name, layer in layers.items()
        }
        for part in frames
    }
    boxes = {}
    for part in frames:
        size = side / settings.search_area * torch.exp(0.3 * torch.randn((*shape[part], 2), generator=generator))
        boxes[part] = torch.cat((side / 2 - size / 2, size), dim=-1)
    return CachedCrops(features, boxes, ["made up"] * settings.sequences_per_step).to(device)


def measure_cost(
    settings: StudySettings,
    device: torch.device,
    rounds: int,
    chosen: Mapping[str, dict[str, Any]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Milliseconds of a step of every method, head alone and with the backbone's pass over the crops.

    Args:
        rounds: steps of each method, after a warm-up; a round has one step of each, so that changes in the machine's
            load affect all of them.
        chosen: method -> settings of the objective over those of `METHODS`.
        clock: seconds; `time.process_time` counts one thread's work alone, whatever else runs.

    Returns:
        'methods' -> {'ms', 'ms_p10', 'ms_p90', 'relative', 'relative_with_backbone', 'paper'}, 'backbone_ms',
        'machine', 'rounds'. Relative times are quotients of medians, to IoU regression's (the first method's where
        that is not measured).
    """
    crops = made_up_crops(settings, device)
    generator = torch.Generator(device).manual_seed(0)
    names = list(dict.fromkeys((_BASE, *settings.methods)))
    actors: dict[str, tuple[Actor, torch.optim.Optimizer]] = {}
    for name in names:
        arguments = (chosen or {}).get(name, {})
        actor = new_actor(settings, box_settings(HeadUnit("cost", name, arguments), settings.num_samples), 0, device)
        actor.net.bb_regressor.train()
        actors[name] = actor, torch.optim.Adam(actor.net.bb_regressor.parameters(), lr=1e-5)
    images = torch.zeros((1, settings.sequences_per_step, 3, settings.crop_size, settings.crop_size), device=device)
    data = study_recipe(settings).data
    train, test = images.expand(data.train_frames, -1, -1, -1, -1), images.expand(data.test_frames, -1, -1, -1, -1)
    taken: dict[str, list[float]] = {name: [] for name in (*names, "backbone")}
    for index in range(_WARMUP + rounds):
        for name, (actor, optimiser) in actors.items():
            began = _now(device, clock)
            loss, _ = head_loss(actor, crops, generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            taken[name].append(_now(device, clock) - began)
        began = _now(device, clock)
        with torch.no_grad():
            actors[_BASE][0].features(train, test)
        taken["backbone"].append(_now(device, clock) - began)
        if index + 1 == _WARMUP:
            taken = {name: [] for name in taken}
    return _report(taken, rounds)


def run_cost(place: Workplace, settings: StudySettings, rounds: int) -> dict[str, Any]:
    """Measure the cost of a step with the chosen settings, and put it into results that are already there."""
    chosen = {name: row["arguments"] for name, row in (place.read("choices") or {}).items()}
    cost = measure_cost(settings, torch.device(place.device), rounds, chosen)
    write_json(place.folder / "cost.json", cost)
    if place.study_file.is_file():
        write_json(place.study_file, {**read_json(place.study_file), "cost": cost})
    return cost


def _report(taken: dict[str, list[float]], rounds: int) -> dict[str, Any]:
    middle = {name: 1000 * float(np.median(values)) for name, values in taken.items()}
    backbone = middle["backbone"]
    methods = {}
    for name, values in taken.items():
        if name == "backbone":
            continue
        low, high = 1000 * np.percentile(values, [10, 90])
        methods[name] = {
            "ms": middle[name],
            "ms_p10": float(low),
            "ms_p90": float(high),
            "relative": middle[name] / middle[_BASE],
            "relative_with_backbone": (middle[name] + backbone) / (middle[_BASE] + backbone),
            "paper": METHODS[name].paper_cost,
        }
    machine = {**describe_machine(), "threads": torch.get_num_threads()}
    return {"methods": methods, "backbone_ms": backbone, "rounds": rounds, "machine": machine}


def cost_table(cost: dict[str, Any]) -> str:
    """The measured cost as text, a line a method."""
    rows = []
    for name, row in cost["methods"].items():
        times = [f"{row['ms']:.0f}", f"{row['ms_p10']:.0f}-{row['ms_p90']:.0f}"]
        relative = [f"{row[key]:.2f}" for key in ("relative", "relative_with_backbone")]
        rows.append([METHODS[name].label, *times, *relative, "-" if row["paper"] is None else f"{row['paper']:.2f}"])
    table = format_table(["method", "ms/step", "p10-p90", "relative", "+backbone", "paper"], rows)
    return f"{table}\nbackbone {cost['backbone_ms']:.0f} ms; medians of {cost['rounds']} interleaved steps"


def refinement_seconds(settings: StudySettings, device: torch.device, clock: Callable[[], float]) -> float:
    """Time to refine one frame's boxes with one step length."""
    net = new_actor(settings, box_settings(HeadUnit("plan", "nceplus"), 1), 0, device).net.eval()
    crops = made_up_crops(settings, device)
    steps = coarse_grid()[:2]
    refined_ious(net.bb_regressor, crops, steps, device)
    began = clock()
    refined_ious(net.bb_regressor, crops, steps, device)
    return (clock() - began) / len(steps) / crops.boxes["test"][..., 0].numel()


def estimate(place: Workplace, settings: StudySettings, sequences: list[Clip]) -> dict[str, float]:
    """Seconds of each stage with `place.workers` processes that do not slow each other down.

    On a CPU the time of one thread is measured, so that other programs do not count.
    """
    device = torch.device(place.device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    with torch_threads(1):
        cost = measure_cost(settings, device, 3, clock=clock)["methods"]
        frame = refinement_seconds(settings, device, clock)
    ms = {name: row["ms"] for name, row in cost.items()}
    frames = study_recipe(settings).data.test_frames
    heads = len(settings.methods) * len(settings.seeds)
    owners = {METHODS[name].like or name for name in settings.methods}
    tried = {name: len(METHODS[name].candidates) + len(settings.rates) for name in owners}
    choice = len(coarse_grid()) * min(settings.coarse_samples, settings.validation_samples)
    choice += len(fine_grid((1.0, 1.0))) * min(settings.fine_samples, settings.validation_samples)
    seconds = {
        "trials": sum(
            count * (settings.steps * ms.get(name, ms["iou"]) / 1000 + choice * frames * frame)
            for name, count in tried.items()
        ),
        # A method's best trial is its first head.
        "heads": settings.steps
        * sum(ms[name] * (len(settings.seeds) - (name in owners)) for name in settings.methods)
        / 1000,
        "steps of the ascent": heads * choice * frames * frame,
        # The likelihood costs about as much as the refinement.
        "test crops": heads * settings.test_samples * frames * 2 * frame,
        "tracking": heads * sum(len(clip.frames) for clip in sequences) / _FRAMES_PER_SECOND,
    }
    return {name: value / place.workers for name, value in seconds.items()}


def print_plan(place: Workplace, settings: StudySettings, sequences: list[Clip]) -> None:
    """Print what a run does, and the estimate."""
    labels = ", ".join(METHODS[name].label for name in settings.methods)
    frames = sum(len(clip.frames) for clip in sequences)
    print(f"{len(settings.methods)} methods ({labels}), seeds {', '.join(map(str, settings.seeds))}")
    print(
        f"{settings.steps} steps of {settings.sequences_per_step} sequences, M = {settings.num_samples}; "
        f"rates {', '.join(f'{rate:g}' for rate in settings.rates)}"
    )
    print(f"tracking: {len(sequences)} sequences, {frames} frames a head")
    print(f"features: {cache_bytes(settings) / 2**30:.2f} GiB in {place.cache}")
    seconds = estimate(place, settings, sequences)
    for name, value in seconds.items():
        print(f"  {name:20} {value / 60:6.1f} min")
    print(f"  {'all':20} {sum(seconds.values()) / 60:6.1f} min with {place.workers} worker(s), features not counted")


def _now(device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock()
