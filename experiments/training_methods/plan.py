"""What a run will do and how long it takes on this machine, from a few seconds of measuring."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from experiments.training_methods.cost import made_up_crops, measure_cost
from experiments.training_methods.evaluation import coarse_grid, fine_grid, refined_ious
from experiments.training_methods.features import cache_bytes
from experiments.training_methods.heads import Unit, box_settings, new_actor
from experiments.training_methods.settings import METHODS, StudySettings, study_recipe
from experiments.training_methods.stages import Workplace
from pytracking.evaluation.data import Sequence as Clip

# Frames a second of the compact tracker on one core, for the estimate alone.
_FRAMES_PER_SECOND = 25


def refinement_seconds(settings: StudySettings, device: torch.device, clock: Callable[[], float]) -> float:
    """Time to refine one frame's boxes with one step length."""
    net = new_actor(settings, box_settings(Unit("plan", "nceplus"), 1), 0, device).net.eval()
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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cost = measure_cost(settings, device, 3, clock=clock)["methods"]
        frame = refinement_seconds(settings, device, clock)
    finally:
        torch.set_num_threads(threads)
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
