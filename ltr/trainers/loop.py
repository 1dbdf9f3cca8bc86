"""The training loop, top to bottom: set up, epochs of steps, validation, checkpoints, log.

Launch: `python ltr/run_training.py dimp_nceplus_lite`, or with N processes
`torchrun --nproc_per_node N ltr/run_training.py dimp_nceplus_lite --set micro_batches=N`; the same command resumes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ltr.actors.base import Batch, StepOutput
from ltr.actors.factory import make_actor
from ltr.admin.allocator import keep_freed_memory
from ltr.admin.files import write_json
from ltr.data.loader import make_loader, to_device
from ltr.errors import SampleError, UserError
from ltr.train_settings.recipe import Recipe
from ltr.trainers.batch_norm import StepStatistics, set_train_mode, synchronise
from ltr.trainers.curves import draw_curves
from ltr.trainers.failure import NonFiniteLossError, non_finite
from ltr.trainers.figures import Clock, figures_of, summary
from ltr.trainers.only_run import only_run
from ltr.trainers.optimisation import (
    WeightAverage,
    clip_gradients,
    gradient_norms,
    make_optimiser,
    rate_factor,
    set_rates,
)
from ltr.trainers.processes import any_of, device_of, from_first, gather, start_processes, wrap
from ltr.trainers.run_log import RunLog, environment
from ltr.trainers.saving import keep_best, save, save_result, stop_if_asked, tracked
from ltr.trainers.settings import RunSettings
from ltr.trainers.signals import StoppedBySignal, StopRequest
from ltr.trainers.state import TrainingState, seeded_generator
from ltr.trainers.tracking_validation import Prepare, find_tracking
from ltr.trainers.training import Training, compile_features, make_sampler, resume, share_of
from ltr.trainers.validation import validate

__all__ = ["NonFiniteLossError", "RunSettings", "StoppedBySignal", "environment", "make_sampler", "train"]


def train(recipe: Recipe, run: RunSettings, prepare_tracking: Prepare | None = None) -> Path:
    """Train a recipe, from its newest checkpoint if there is one.

    Args:
        prepare_tracking: tracks for validation, instead of what a package has registered.

    Returns:
        The path of the network that came out, `<workspace>/<name>/network.safetensors`.

    Raises:
        NonFiniteLossError: the run stops at once; batch and state are kept as `nonfinite_<process>.pt`.
        StoppedBySignal: SIGTERM or SIGINT; the state is saved.
        SampleError: a sequence cannot be read; the message names data set, sequence and file.
        FileNotFoundError: a data set is not where it should be.
        CheckpointError: no checkpoint of the run can be read.
        MissingPackageError: Accelerate is not installed.
        OSError: the disk is full; older checkpoints are whole.
        ValueError: settings that do not fit together, another recipe's checkpoint, or another program that trains in
            the same folder.
    """
    with only_run(run.workspace / recipe.name), StopRequest() as stop:
        training = set_up(recipe, run, prepare_tracking)
        try:
            for epoch in range(training.state.epochs, recipe.epochs):
                began = time.perf_counter()
                train_epoch(training, epoch, stop)
                finish_epoch(training, epoch, time.perf_counter() - began)
                if epoch + 1 < recipe.epochs:
                    stop_if_asked(training, stop)
        finally:
            if training.log is not None:
                training.log.close()
        result = training.folder / "network.safetensors"
        if training.processes.is_main_process:
            save_result(training, result)
            print(f"trained network: {result}")
        training.processes.end_training()
    return result


def set_up(recipe: Recipe, run: RunSettings, prepare_tracking: Prepare | None = None) -> Training:
    """Everything that a run needs, at its newest checkpoint. Errors as for `train`."""
    data = recipe.data
    sampler = make_sampler(recipe, data.train, data.samples_per_epoch, recipe.seed)
    validation = make_sampler(recipe, data.validation, data.validation_samples, recipe.seed + 1)
    steps_per_epoch = len(sampler) // recipe.batch_size
    if steps_per_epoch == 0:
        raise UserError(f"an epoch has {len(sampler)} samples, fewer than the batch size {recipe.batch_size}")
    factor = rate_factor(recipe.optimiser, recipe.epochs, steps_per_epoch)
    track = find_tracking(recipe, prepare_tracking)
    processes = start_processes(run.device)
    device = device_of(processes, run.device)
    own = share_of(recipe, processes.process_index, processes.num_processes)
    if device.type == "cpu":
        keep_freed_memory()

    torch.manual_seed(recipe.seed)
    net = recipe.network.build().to(device)
    if recipe.batch_norm == "sync":
        net = synchronise(net, device, processes.num_processes)
    actor = make_actor(recipe, net)
    optimiser = make_optimiser(net, recipe.optimiser)
    # The classifier's weight of 100 and more makes torch's usual first scale, 65536, overflow for many steps.
    scaler = torch.amp.GradScaler(device.type, init_scale=128.0, enabled=recipe.precision == "fp16")
    state = TrainingState(recipe, net, optimiser, scaler, WeightAverage(net, recipe.optimiser.ema_decay))
    set_train_mode(net, recipe.batch_norm)
    if run.compile:
        compile_features(net)

    folder = run.workspace / recipe.name
    resume(folder, state, run, processes)
    micro_batch = recipe.batch_size // recipe.micro_batches
    training = Training(
        recipe,
        run,
        folder,
        processes,
        device,
        actor,
        wrap(processes, actor),
        state,
        make_loader(sampler, micro_batch, run.num_workers),
        make_loader(validation, micro_batch, run.num_workers),
        own,
        steps_per_epoch,
        factor,
        track,
    )
    if processes.is_main_process:
        write_json(folder / "recipe.json", {"recipe": recipe.to_dict(), "environment": environment()})
        training.log = RunLog(folder, state.step)
    return training


def train_epoch(training: Training, epoch: int, stop: StopRequest) -> None:
    """The steps of an epoch that are not done yet, with checkpoints between them."""
    recipe, run, state, processes = training.recipe, training.run, training.state, training.processes
    set_train_mode(training.net, recipe.batch_norm)
    statistics = StepStatistics(training.net)
    first = state.step - epoch * training.steps_per_epoch
    steps = range(first, training.steps_per_epoch)
    training.loader.set_epoch(epoch, [step * recipe.micro_batches + k for step in steps for k in training.own])
    batches = iter(training.loader)
    clock = Clock(recipe)
    bar = tqdm(
        desc=f"epoch {epoch + 1}/{recipe.epochs}",
        total=training.steps_per_epoch,
        initial=first,
        unit="step",
        leave=False,
        disable=None if processes.is_main_process else True,
    )
    for step_of_epoch in steps:
        micro_batches = fetch(training, batches)
        clock.data_came()
        statistics.begin()
        set_rates(state.optimiser, training.factor(state.step))
        outputs = []
        for micro_batch, batch in zip(training.own, micro_batches):
            outputs.append(forward_backward(training, micro_batch, batch))
            statistics.add()
        state.scaler.unscale_(state.optimiser)
        logged = (state.step + 1) % run.log_interval == 0 or step_of_epoch == 0
        norms = gradient_norms(state.optimiser) if logged else {}
        norm = clip_gradients(state.optimiser, recipe.optimiser.max_gradient_norm)
        finite = torch.stack([output.loss for output in outputs]).isfinite().all()
        # In fp16 an overflow is how the scale is found: the scaler skips the step and halves it.
        if state.scaler.get_scale() <= 1:
            finite = finite & norm.isfinite()
        bad, asked = any_of(processes, [not bool(finite), stop.number is not None], training.device)
        if bad:
            raise non_finite(processes, training.folder, state, micro_batches, outputs)
        statistics.end()
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.optimiser.zero_grad(set_to_none=True)
        state.average.update()
        state.step += 1
        clock.step_done()
        bar.update()
        if logged:
            record = {"epoch": epoch + 1, **figures_of(training, outputs, norms, float(norm)), **clock.read()}
            bar.set_postfix_str(f"loss {record['loss']:.3f}, {record['images_per_second']:.0f} img/s")
            if training.log is not None:
                training.log.write("train", state.step, record)
        last = step_of_epoch + 1 == training.steps_per_epoch
        if asked and not last:
            save(training)
            bar.close()
            stop_if_asked(training, stop)
        if run.checkpoint_interval and (step_of_epoch + 1) % run.checkpoint_interval == 0 and not last:
            save(training)
    bar.close()


def fetch(training: Training, batches: Iterator[Batch]) -> list[Batch]:
    """This process's micro-batches of a step. A sequence that one process cannot read stops all of them."""
    error: SampleError | None = None
    found: list[Batch] = []
    try:
        found = [next(batches) for _ in training.own]
    except SampleError as caught:
        error = caught
    if any_of(training.processes, [error is not None], training.device)[0]:
        raise SampleError("; ".join(gather(training.processes, [str(error)] if error else [])))
    return found


def forward_backward(training: Training, micro_batch: int, batch: Batch) -> StepOutput:
    """Add a micro-batch's share to the gradients, and average them over the processes after the last."""
    state, processes = training.state, training.processes
    generator = seeded_generator(training.recipe.seed, state.step, micro_batch, training.device)
    last = micro_batch == training.own[-1]
    with nullcontext() if last else processes.no_sync(training.step_actor):
        output = training.step_actor(to_device(batch, training.device), generator)
        state.scaler.scale(output.loss / len(training.own)).backward()
    return StepOutput(output.loss.detach(), output.statistics)


def finish_epoch(training: Training, epoch: int, seconds: float) -> None:
    """Validation where it is due, the log, the best network, a checkpoint, and the picture of the curves.

    `seconds` is what the epoch's steps took, those before a resume not counted.
    """
    recipe, state, processes = training.recipe, training.state, training.processes
    last = epoch + 1 == recipe.epochs
    losses_due = (epoch + 1) % recipe.validation_interval == 0 or last
    tracking_due = training.track is not None and ((epoch + 1) % recipe.tracking.interval == 0 or last)
    record: dict[str, Any] = {"epoch": epoch + 1, "seconds": seconds}
    if losses_due or tracking_due:
        # What follows can take long, and a cluster may not wait for it.
        save(training)
    with state.average.applied():
        if losses_due:
            seed = recipe.seed + 1
            loader, device = training.validation, training.device
            record.update(validate(training.actor, loader, recipe.refinement, seed, device, processes))
        if tracking_due and processes.is_main_process:
            record.update(tracked(training))
    record = from_first(processes, record)
    keep_best(training, record)
    state.epochs = epoch + 1
    if training.log is not None:
        training.log.write("validation", state.step, record)
        print(summary(record, recipe.epochs))
    save(training)
    if processes.is_main_process:
        draw_curves(training.folder)
