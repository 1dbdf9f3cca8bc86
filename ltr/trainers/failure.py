"""A loss or gradient that is not finite: what was in the batch, and everything needed to look into it, on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ltr.actors.base import Batch, StepOutput
from ltr.admin.checkpoint import save_training_state
from ltr.errors import UserError
from ltr.trainers.processes import gather
from ltr.trainers.state import TrainingState

if TYPE_CHECKING:
    from accelerate import Accelerator


class NonFiniteLossError(UserError, RuntimeError):
    """A loss or gradient that is infinite or not a number; the message names what was in the batch."""

    status = 3


def non_finite(
    processes: Accelerator, folder: Path, state: TrainingState, batches: list[Batch], outputs: list[StepOutput]
) -> NonFiniteLossError:
    """Keep this step and say what was in it. All processes call this together, before the optimiser's step.

    The processes whose losses are not finite write `nonfinite_<process>.pt`: their micro-batches and the training state
    before the step. If all losses are finite and the gradient is not, all processes do.

    Args:
        batches, outputs: of this process's micro-batches.
    """
    bad = [not bool(torch.isfinite(output.loss)) for output in outputs]
    anywhere = any(gather(processes, [any(bad)]))
    lines: list[str] = []
    if any(bad) or not anywhere:
        kept = folder / f"nonfinite_{processes.process_index}.pt"
        save_training_state(kept, {**state.state_dict(), "batches": batches})
        shown = [number for number, wrong in enumerate(bad) if wrong or not anywhere]
        lines = [_describe(batches[number], outputs[number]) for number in shown]
        lines[-1] += f". Kept in {kept}"
    found = "; ".join(gather(processes, lines))
    kind = "loss" if anywhere else "gradient (all losses are finite)"
    return NonFiniteLossError(
        f"the {kind} is not finite at step {state.step + 1}, epoch {state.epochs + 1}: {found}. "
        "The weights have not seen it, and the last checkpoint is whole"
    )


def _describe(batch: Batch, output: StepOutput) -> str:
    parts: dict[str, Any] = {name: value for name, value in output.statistics.items() if name.startswith("loss")}
    figures = ", ".join(f"{name} {float(value):.4g}" for name, value in parts.items())
    return f"{figures} in the micro-batch of {', '.join(batch['sources'])}"
