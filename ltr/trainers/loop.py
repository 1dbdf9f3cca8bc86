"""The training loop: `train`, and the step that it repeats, `train_steps`.

Launch: `python ltr/run_training.py dimp_nceplus_lite`, or with N processes
`torchrun --nproc_per_node N ltr/run_training.py dimp_nceplus_lite --set micro_batches=N`; the same command resumes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ltr.actors.base import Batch, StepOutput
from ltr.actors.energy import has_bf16
from ltr.actors.tracking import make_actor
from ltr.admin.files import write_json
from ltr.data.loader import make_loader, to_device
from ltr.errors import SampleError, UserError
from ltr.train_settings.recipe import Recipe
from ltr.trainers.batch_norm import StepStatistics, set_train_mode, synchronise
from ltr.trainers.checkpoints import NonFiniteLossError, keep_best, non_finite, resume, save, save_result, stop_if_asked
from ltr.trainers.log import Clock, RunLog, draw_curves, environment, summary
from ltr.trainers.optimisation import average_weights, clip_gradients, make_optimiser, rate_factor, set_rates
from ltr.trainers.processes import (
    StoppedBySignal,
    StopRequest,
    any_of,
    first_alone,
    from_first,
    gather,
    keep_freed_memory,
    only_run,
    start_processes,
    sum_of,
    wrap,
)
from ltr.trainers.run import (
    PrepareTracking,
    RunSettings,
    Training,
    first_network,
    make_sampler,
    make_samplers,
    seeded_generator,
    share_of,
)
from ltr.trainers.validation import find_tracking, tracked, validate

__all__ = ["NonFiniteLossError", "RunSettings", "StoppedBySignal", "environment", "make_sampler", "train"]


def train(recipe: Recipe, run: RunSettings, prepare_tracking: PrepareTracking | None = None) -> Path:
    """Train a recipe, from its newest checkpoint if there is one.

    Args:
        prepare_tracking: how to track for validation, where the recipe's `tracking.interval` asks for it:
            `pytracking.evaluation.training_validation.prepare`, or a function of your own like it.

    Returns:
        The path of the network that came out, `<workspace>/<name>/network.safetensors`.

    Raises:
        NonFiniteLossError: the run stops at once; batch and state are kept as `nonfinite_<process>.pt`.
        StoppedBySignal: SIGTERM or SIGINT; the state is saved.
        SampleError: a sequence cannot be read; the message names data set, sequence and file.
        FileNotFoundError: data sets are not where they should be; the message names them all.
        CheckpointError: no checkpoint of the run can be read.
        MissingPackageError: Accelerate is not installed.
        OSError: the disk is full; older checkpoints are whole.
        ValueError: settings that do not fit together or in the device's memory, an empty data set, another recipe's
            checkpoint, or another program that trains in the same folder.
    """
    with only_run(run.workspace / recipe.name), StopRequest() as stop:
        training = set_up(recipe, run, prepare_tracking)
        try:
            for epoch in range(training.epochs, recipe.epochs):
                began = time.perf_counter()
                train_epoch(training, epoch, stop)
                finish_epoch(training, epoch, time.perf_counter() - began)
                if epoch + 1 < recipe.epochs:
                    stop_if_asked(training, stop)
        except RuntimeError as error:
            # A full GPU has an error of its own, a full main memory has only this text.
            if not isinstance(error, torch.cuda.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise UserError(out_of_memory(training)) from error
        finally:
            if training.log is not None:
                training.log.close()
        result = training.folder / "network.safetensors"
        if training.accelerator.is_main_process:
            save_result(training, result)
            print(f"trained network: {result}")
        training.accelerator.end_training()
    return result


def train_steps(
    training: Training, data: Iterator[list[Batch]]
) -> Iterator[tuple[list[StepOutput], dict[str, Tensor]]]:
    """An optimiser step for each item of `data`, this process's micro-batches of a step.

    Yields:
        After each step, the outputs of the micro-batches and the gradient norms.

    Raises:
        NonFiniteLossError: before the step reaches the weights.
    """
    recipe, optimiser, scaler = training.recipe, training.optimiser, training.scaler
    statistics = StepStatistics(training.net)
    for batches in data:
        set_rates(optimiser, training.factor(training.step))
        outputs = []
        statistics.begin()
        for micro_batch, batch in zip(training.own, batches):
            generator = seeded_generator(recipe.seed, training.step, micro_batch, training.device)
            with nullcontext() if batch is batches[-1] else training.accelerator.no_sync(training.step_actor):
                output = training.step_actor(to_device(batch, training.device), generator)
                scaler.scale(output.loss / len(batches)).backward()
            outputs.append(StepOutput(output.loss.detach(), output.statistics))
            statistics.add()
        scaler.unscale_(optimiser)
        norms = clip_gradients(optimiser, recipe.optimiser.max_gradient_norm)
        if not all_finite(training, outputs, norms["gradient_norm"]):
            raise non_finite(training, batches, outputs)
        statistics.end()
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad(set_to_none=True)
        if training.average is not None:
            training.average.update_parameters(training.net)
        training.step += 1
        yield outputs, norms


def all_finite(training: Training, outputs: list[StepOutput], norm: Tensor) -> bool:
    """Whether losses and gradients are finite in all processes; the one time that a step waits for the device."""
    finite = torch.stack([output.loss for output in outputs]).isfinite().all()
    # In fp16 an overflow is how the scale is found: the scaler skips the step and halves it.
    if training.scaler.get_scale() <= 1:
        finite = finite & norm.isfinite()
    return not any_of(training.accelerator, [not bool(finite)], training.device)[0]


def train_epoch(training: Training, epoch: int, stop: StopRequest) -> None:
    """The steps of an epoch that are not done yet, with log lines, checkpoints and signals between them."""
    recipe, run = training.recipe, training.run
    set_train_mode(training.net, recipe.batch_norm)
    for actor in (training.actor, training.judged):
        actor.begin_epoch(epoch + 1)
    first, last = training.step, (epoch + 1) * training.steps_per_epoch
    clock = Clock(recipe)
    bar = tqdm(
        desc=f"epoch {epoch + 1}/{recipe.epochs}",
        total=training.steps_per_epoch,
        initial=first - epoch * training.steps_per_epoch,
        unit="step",
        leave=False,
        disable=None if training.accelerator.is_main_process else True,
    )
    with bar:
        for outputs, norms in train_steps(training, clock.timed(fetch(training, epoch, stop))):
            bar.update()
            if training.step % run.log_interval == 0 or training.step == last - training.steps_per_epoch + 1:
                record = {"epoch": epoch + 1, **step_record(training, outputs, norms), **clock.read()}
                bar.set_postfix_str(f"loss {record['loss']:.3f}, {record['images_per_second']:.0f} img/s")
                if training.log is not None:
                    training.log.write("train", training.step, record)
            done = training.step - epoch * training.steps_per_epoch
            if run.checkpoint_interval and done % run.checkpoint_interval == 0 and training.step < last:
                save(training)
    if training.step < last:
        save(training)
        stop_if_asked(training, stop)


def fetch(training: Training, epoch: int, stop: StopRequest) -> Iterator[list[Batch]]:
    """This process's micro-batches of each step of an epoch that is left; ends early once a process is asked to stop.

    Raises:
        SampleError: a sequence cannot be read, in this process or another.
    """
    parts = training.recipe.micro_batches
    left = range(training.step - epoch * training.steps_per_epoch, training.steps_per_epoch)
    training.loader.set_epoch(epoch, [step * parts + part for step in left for part in training.own])
    loaded = iter(training.loader)
    for _ in left:
        error = ""
        batches: list[Batch] = []
        try:
            batches = [next(loaded) for _ in training.own]
        except SampleError as caught:
            error = str(caught)
        failed, asked = any_of(training.accelerator, [bool(error), stop.number is not None], training.device)
        if failed:
            raise SampleError("; ".join(gather(training.accelerator, [error] if error else [])))
        if asked:
            return
        yield batches


def step_record(training: Training, outputs: list[StepOutput], norms: dict[str, Tensor]) -> dict[str, float]:
    """What the log says of a step: means over its micro-batches in all processes, gradient norms, learning rates."""
    sums = {name: sum(float(output.statistics[name]) for output in outputs) for name in outputs[0].statistics}
    totals = sum_of(training.accelerator, sums, training.device)
    record = {name: total / training.recipe.micro_batches for name, total in totals.items()}
    record.update({name: float(norm) for name, norm in norms.items()})
    record.update({f"rate/{group['name']}": group["lr"] for group in training.optimiser.param_groups})
    return record


def finish_epoch(training: Training, epoch: int, seconds: float) -> None:
    """Validation where it is due, the log, the best network, a checkpoint, and the picture of the curves.

    `seconds` is what the epoch's steps took, those before a resume not counted.
    """
    recipe, accelerator = training.recipe, training.accelerator
    last = epoch + 1 == recipe.epochs
    losses_due = (epoch + 1) % recipe.validation_interval == 0 or last
    tracking_due = training.track is not None and ((epoch + 1) % recipe.tracking.interval == 0 or last)
    record: dict[str, Any] = {"epoch": epoch + 1, "seconds": seconds}
    if losses_due or tracking_due:
        # What follows can take long, and a cluster may not wait for it.
        save(training)
    if losses_due:
        seed, device = recipe.seed + 1, training.device
        record.update(validate(training.judged, training.validation, recipe.refinement, seed, device, accelerator))
    if tracking_due:
        with first_alone(accelerator):
            record.update(tracked(training) if accelerator.is_main_process else {})
    record = from_first(accelerator, record)
    keep_best(training, record)
    training.epochs = epoch + 1
    if training.log is not None:
        training.log.write("validation", training.step, record)
        print(summary(record, recipe.epochs))
    save(training)
    if accelerator.is_main_process:
        draw_curves(training.folder)


def set_up(recipe: Recipe, run: RunSettings, prepare_tracking: PrepareTracking | None = None) -> Training:
    """Everything that a run needs, at its newest checkpoint. Errors as for `train`."""
    sampler, validation = make_samplers(recipe)
    steps_per_epoch = len(sampler) // recipe.batch_size
    if steps_per_epoch == 0:
        raise UserError(f"an epoch has {len(sampler)} samples, fewer than the batch size {recipe.batch_size}")
    factor = rate_factor(recipe.optimiser, recipe.epochs, steps_per_epoch)
    track = find_tracking(recipe, prepare_tracking)
    accelerator = start_processes(run.device)
    device = torch.device(run.device) if accelerator.num_processes == 1 else accelerator.device
    if device.type == "cpu":
        keep_freed_memory()
        if recipe.precision == "bf16" and not has_bf16():
            print(
                "precision 'bf16' is slower than 'fp32' on this processor, which has neither AVX512-BF16 nor AMX: "
                "--set precision=fp32",
                file=sys.stderr,
            )

    torch.manual_seed(recipe.seed)
    net = first_network(recipe).to(device)
    if recipe.batch_norm == "sync":
        net = synchronise(net, device, accelerator.num_processes)
    actor = make_actor(recipe, net)
    optimiser = make_optimiser(net, recipe.optimiser)
    average = average_weights(net, recipe.optimiser.ema_decay)
    set_train_mode(net, recipe.batch_norm)
    if run.compile:
        classifier_features = getattr(getattr(net, "classifier", None), "feature_extractor", None)
        for module in (getattr(net, "feature_extractor", None), getattr(net, "backbone", None), classifier_features):
            if isinstance(module, torch.nn.Module):
                module.compile()
    micro_batch = recipe.batch_size // recipe.micro_batches
    training = Training(
        recipe,
        run,
        accelerator,
        device,
        actor,
        step_actor=wrap(accelerator, actor),
        judged=make_actor(recipe, average.module) if average else actor,
        average=average,
        optimiser=optimiser,
        # The classifier's weight of 100 and more makes torch's usual first scale, 65536, overflow for many steps.
        scaler=torch.amp.GradScaler(device.type, init_scale=128.0, enabled=recipe.precision == "fp16"),
        loader=make_loader(sampler, micro_batch, run.num_workers),
        validation=make_loader(validation, micro_batch, run.num_workers),
        own=share_of(recipe, accelerator.process_index, accelerator.num_processes),
        steps_per_epoch=steps_per_epoch,
        factor=factor,
        track=track,
    )
    resume(training)
    if accelerator.is_main_process:
        folder = training.folder
        write_json(folder / "recipe.json", {"recipe": recipe.to_dict(), "environment": environment()})
        training.log = RunLog(folder, training.step)
    return training


def out_of_memory(training: Training) -> str:
    """One line for a device whose memory is full: where, and which settings take less."""
    recipe = training.recipe
    finer = (n for n in range(recipe.micro_batches + 1, recipe.batch_size + 1) if recipe.batch_size % n == 0)
    smaller = [f"--set micro_batches={n} (the same batch in smaller parts)" for n in finer]
    half = ["--set precision=bf16"] if recipe.precision == "fp32" else []
    advice = ", or ".join([*smaller[:1], *half, "a smaller --set batch_size"])
    return (
        f"{training.device} is out of memory at step {training.step + 1}: give it {advice}; a checkpoint of other "
        "settings needs --fresh"
    )
