"""The processes of a run, by Accelerate: one, or those that torchrun started; and what they tell one another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ltr.errors import MissingPackageError

if TYPE_CHECKING:
    from accelerate import Accelerator

# While the first process tracks sequences, the others wait for it.
PATIENCE = timedelta(hours=2)


def start_processes(device: str) -> Accelerator:
    """Join the processes that torchrun started, or be the only one.

    Precision is the actor's business, so Accelerate is told of none; batch-norm statistics are not broadcast, since
    `ltr.trainers.batch_norm` averages them.

    Raises:
        MissingPackageError: Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingPackageError("training needs Accelerate: pip install 'ebm-tracking[train]'") from error
    handlers = [DistributedDataParallelKwargs(broadcast_buffers=False), InitProcessGroupKwargs(timeout=PATIENCE)]
    return Accelerator(cpu=device == "cpu", device_placement=False, mixed_precision="no", kwargs_handlers=handlers)


def device_of(processes: Accelerator, device: str) -> torch.device:
    """This process's device: the one asked for, or its own GPU where there are several processes."""
    return torch.device(device) if processes.num_processes == 1 else processes.device


def wrap(processes: Accelerator, actor: nn.Module) -> nn.Module:
    """The actor, its gradients averaged over the processes; itself where there is but one."""
    if processes.num_processes == 1:
        return actor
    with warnings.catch_warnings():
        # Newer versions of torch have another name for broadcast_buffers, older ones only this.
        warnings.simplefilter("ignore", FutureWarning)
        wrapped: nn.Module = processes.prepare_model(actor)
    return wrapped


def any_of(processes: Accelerator, flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Each flag, true where it is true in any process. All processes call this together."""
    if processes.num_processes == 1:
        return list(flags)
    total = processes.reduce(torch.tensor([float(flag) for flag in flags], device=device), reduction="sum")
    return [value > 0 for value in total.tolist()]


def sum_of(processes: Accelerator, values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Sums over the processes of figures that all of them have. All processes call this together."""
    if processes.num_processes == 1:
        return values
    names = sorted(values)
    together = torch.tensor([values[name] for name in names], dtype=torch.float64, device=device)
    return dict(zip(names, processes.reduce(together, reduction="sum").tolist()))


def average_in_place(processes: Accelerator, tensors: Sequence[Tensor]) -> None:
    """Replace floating-point tensors by their means over the processes. All processes call this together."""
    if processes.num_processes == 1 or not tensors:
        return
    together = processes.reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="mean")
    for tensor, mean in zip(tensors, together.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(mean.view_as(tensor))


def gather(processes: Accelerator, items: list[Any]) -> list[Any]:
    """The items of all processes, in the order of the processes. All processes call this together."""
    if processes.num_processes == 1:
        return items
    from accelerate.utils import gather_object

    gathered: list[Any] = gather_object(items)
    return gathered


def from_first(processes: Accelerator, item: Any) -> Any:
    """The first process's item, in every process. All processes call this together."""
    if processes.num_processes == 1:
        return item
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([item], from_process=0)[0]
