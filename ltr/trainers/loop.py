"""The training loop, top to bottom: set up, epochs of steps, validation, checkpoints, log.

Launch: `python ltr/run_training.py dimp_nceplus_lite`; resumed by the same command.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ltr.actors.base import Actor, Batch, StepOutput
from ltr.actors.factory import make_actor
from ltr.admin.allocator import keep_freed_memory
from ltr.admin.checkpoint import load_training_state, save_network, save_training_state
from ltr.admin.files import write_json
from ltr.data.loader import make_loader
from ltr.data.processing import CropProcessing
from ltr.data.sampler import TrackingSampler
from ltr.train_settings.recipe import DataSource, OptimiserSettings, Recipe
from ltr.train_settings.sources import open_sources
from ltr.trainers.validation import validate


class NonFiniteLossError(RuntimeError):
    """A loss that is infinite or not a number; the message names what was in the batch."""


@dataclass(frozen=True)
class RunSettings:
    """What differs from machine to machine and does not decide the weights.

    Attributes:
        workspace: checkpoints and logs go to `<workspace>/<recipe name>`.
        device: 'cpu', 'cuda', ...; by default CUDA where there is one.
        num_workers: data loading processes.
        keep: training checkpoints kept, the oldest go first.
        log_interval: steps between lines of the log.
        fresh: start anew although there is a checkpoint.
    """

    workspace: Path = field(default_factory=lambda: Path("workspace"))
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    num_workers: int = 2
    keep: int = 3
    log_interval: int = 20
    fresh: bool = False


def train(recipe: Recipe, run: RunSettings) -> Path:
    """Train a recipe, from its latest checkpoint if there is one.

    Returns:
        The path of the network that came out, `<workspace>/<name>/network.safetensors`.

    Raises:
        NonFiniteLossError: the run stops at once; the batch is kept as `nonfinite_batch.pt`.
        FileNotFoundError: a data set is not where it should be.
        CheckpointError: the checkpoint to resume from cannot be read.
    """
    folder = run.workspace / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device(run.device)
    if device.type == "cpu":
        keep_freed_memory()
    data = recipe.data
    sampler = make_sampler(recipe, data.train, data.samples_per_epoch, recipe.seed)
    validation = make_sampler(recipe, data.validation, data.validation_samples, recipe.seed + 1)
    torch.manual_seed(recipe.seed)
    net = recipe.network.build().to(device)
    generator = torch.Generator(device).manual_seed(recipe.seed)
    actor = make_actor(recipe, net)
    optimiser = make_optimiser(net, recipe.optimiser)
    steps_per_epoch = len(sampler) // recipe.batch_size
    if steps_per_epoch == 0:
        raise ValueError(f"an epoch has {len(sampler)} samples, fewer than the batch size {recipe.batch_size}")
    schedule = make_schedule(optimiser, recipe.optimiser, recipe.epochs, steps_per_epoch)

    start = 0
    latest = None if run.fresh else latest_checkpoint(folder)
    if latest is not None:
        state = load_training_state(latest)
        _check_same_recipe(state["recipe"], recipe, latest)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        start = state["epoch"]
        print(f"resuming {recipe.name} after epoch {start} from {latest}")
    write_json(folder / "recipe.json", {"recipe": recipe.to_dict(), "environment": environment()})
    log = RunLog(folder, first=latest is None)
    loader = make_loader(sampler, recipe.batch_size, run.num_workers)
    validation_loader = make_loader(validation, recipe.batch_size, run.num_workers)

    for epoch in range(start, recipe.epochs):
        loader.set_epoch(epoch)
        began = time.perf_counter()
        train_epoch(actor, generator, optimiser, schedule, loader, recipe.optimiser, log, epoch, run.log_interval)
        record: dict[str, Any] = {"epoch": epoch + 1, "seconds": time.perf_counter() - began}
        if (epoch + 1) % recipe.validation_interval == 0 or epoch + 1 == recipe.epochs:
            record.update(validate(actor, validation_loader, recipe.refinement, recipe.seed))
            print(_summary(record, recipe.epochs))
        log.write("validation", record, (epoch + 1) * steps_per_epoch)
        state = {
            "recipe": recipe.to_dict(),
            "epoch": epoch + 1,
            "net": net.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "generator": generator.get_state(),
            "torch_rng": torch.get_rng_state(),
        }
        save_training_state(folder / f"checkpoint_{epoch + 1:04d}.pt", state)
        for old in checkpoints(folder)[: -run.keep]:
            old.unlink()
    log.close()

    result = folder / "network.safetensors"
    card = {"recipe": recipe.to_dict(), "environment": environment()}
    save_network(result, net, recipe.network, card)
    print(f"trained network: {result}")
    return result


def make_sampler(recipe: Recipe, sources: tuple[DataSource, ...], samples: int, seed: int) -> TrackingSampler:
    """The sampler of a recipe's training or validation data, `samples` sequences an epoch."""
    return TrackingSampler(
        open_sources(sources, recipe.seed),
        CropProcessing(recipe.crop),
        samples_per_epoch=samples,
        max_gap=recipe.data.max_gap,
        num_train_frames=recipe.data.train_frames,
        num_test_frames=recipe.data.test_frames,
        seed=seed,
    )


def train_epoch(
    actor: Actor,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    loader: Iterable[Batch],
    settings: OptimiserSettings,
    log: RunLog,
    epoch: int,
    log_interval: int,
) -> None:
    """One epoch of steps. Raises `NonFiniteLossError` before a non-finite loss reaches the weights."""
    net = actor.net
    set_train_mode(net)
    device = next(net.parameters()).device
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    bar = tqdm(loader, desc=f"epoch {epoch + 1}", unit="step", leave=False)
    began = asked = time.perf_counter()
    waited = 0.0
    for index, batch in enumerate(bar):
        waited += time.perf_counter() - asked
        moved = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
        output: StepOutput = actor(moved, generator)
        if not math.isfinite(float(output.loss.detach())):
            raise _non_finite(output, batch, log.folder, epoch, index)
        optimiser.zero_grad(set_to_none=True)
        output.loss.backward()
        limit = settings.max_gradient_norm or math.inf
        norm = nn.utils.clip_grad_norm_(trained, limit, error_if_nonfinite=False)
        if not math.isfinite(float(norm)):
            raise _non_finite(output, batch, log.folder, epoch, index)
        optimiser.step()
        schedule.step()
        if index % log_interval == 0:
            record = {name: float(value) for name, value in output.statistics.items()}
            record["gradient_norm"] = float(norm)
            record["waiting_share"] = waited / (time.perf_counter() - began)
            record.update({f"rate/{group['name']}": group["lr"] for group in optimiser.param_groups})
            step = epoch * len(cast(Any, loader)) + index
            log.write("train", {"epoch": epoch + 1, "step": step, **record}, step)
            bar.set_postfix(loss=f"{record['loss']:.3f}", box=f"{record['loss/box']:.3f}")
        asked = time.perf_counter()


def make_optimiser(net: nn.Module, settings: OptimiserSettings) -> torch.optim.Adam:
    """Adam with one group a prefix of `learning_rates`; parameters without a prefix are frozen.

    Raises:
        ValueError: for a prefix that no trainable parameter has.
    """
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in settings.learning_rates}
    for name, parameter in net.named_parameters():
        prefixes = [p for p in groups if name == p or name.startswith(p + ".")]
        if prefixes and parameter.requires_grad:
            groups[max(prefixes, key=len)].append(parameter)
        else:
            parameter.requires_grad_(False)
    empty = [prefix for prefix, parameters in groups.items() if not parameters]
    if empty:
        raise ValueError(f"learning_rates names '{empty[0]}', but no trainable parameter of the network begins so")
    return torch.optim.Adam(
        [{"params": groups[name], "lr": rate, "name": name} for name, rate in settings.learning_rates.items()]
    )


def make_schedule(
    optimiser: torch.optim.Optimizer, settings: OptimiserSettings, epochs: int, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate's factor as a function of the step. Raises ValueError for an unknown schedule."""
    total = epochs * steps_per_epoch

    def stepwise(step: int) -> float:
        return settings.decay ** (step // (settings.decay_epochs * steps_per_epoch))

    def cosine(step: int) -> float:
        if step < settings.warmup_steps:
            return (step + 1) / settings.warmup_steps
        done = (step - settings.warmup_steps) / max(total - settings.warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    factors: dict[str, Callable[[int], float]] = {"step": stepwise, "cosine": cosine}
    if settings.schedule not in factors:
        raise ValueError(f"schedule must be 'step' or 'cosine', not '{settings.schedule}'")
    return torch.optim.lr_scheduler.LambdaLR(optimiser, factors[settings.schedule])


def set_train_mode(net: nn.Module) -> None:
    """Train mode, except that modules whose parameters are all frozen keep their batch-norm statistics."""
    net.train()
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def checkpoints(folder: Path) -> list[Path]:
    """The training checkpoints of a run, oldest first."""
    return sorted(folder.glob("checkpoint_[0-9][0-9][0-9][0-9].pt"))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest training checkpoint of a run, or None."""
    found = checkpoints(folder)
    return found[-1] if found else None


def environment() -> dict[str, str]:
    """Versions and commit that a run was made with."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"torch": torch.__version__, "python": platform.python_version(), "commit": commit}


class RunLog:
    """Writes `log.jsonl` and TensorBoard events (where tensorboard is installed) into a run's folder."""

    def __init__(self, folder: Path, first: bool) -> None:
        self.folder = folder
        self._lines = open(folder / "log.jsonl", "w" if first else "a", encoding="utf-8")  # noqa: SIM115
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("tensorboard is not installed (pip install tensorboard): only log.jsonl is written")
            self._board: Any = None
        else:
            self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, kind: str, record: dict[str, Any], step: int) -> None:
        """Append a record: one JSON line, one TensorBoard scalar a number."""
        self._lines.write(json.dumps({"kind": kind, **record}) + "\n")
        self._lines.flush()
        if self._board is not None:
            for name, value in record.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._lines.close()
        if self._board is not None:
            self._board.close()


def _check_same_recipe(stored: dict[str, Any], recipe: Recipe, path: Path) -> None:
    current = json.loads(json.dumps(recipe.to_dict()))
    before = json.loads(json.dumps(stored))
    different = [key for key in current if current[key] != before.get(key)]
    if different:
        raise ValueError(
            f"{path} was made with another recipe (they differ in {', '.join(different)}): pass --fresh to start anew, "
            "or another --workspace"
        )


def _non_finite(output: StepOutput, batch: Batch, folder: Path, epoch: int, index: int) -> NonFiniteLossError:
    kept = folder / "nonfinite_batch.pt"
    save_training_state(kept, {"batch": batch})
    parts = ", ".join(f"{name} {float(value):.4g}" for name, value in output.statistics.items())
    return NonFiniteLossError(
        f"the loss or its gradient is not finite at epoch {epoch + 1}, step {index}: {parts}. "
        f"In the batch: {', '.join(batch['sources'])}. The batch is kept in {kept}; the last checkpoint is whole"
    )


def _summary(record: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {record['epoch']}/{epochs} in {record['seconds']:.0f} s: validation loss {record['loss']:.3f}, "
        f"box {record['loss/box']:.3f}, "
        + (f"peak hits {record['classifier/peak_hits']:.3f}, " if "classifier/peak_hits" in record else "")
        + f"IoU {record['iou/start']:.3f} -> {record['iou/refined']:.3f}"
    )
