"""The processes of a run: those that torchrun started, signals that stop them, no second run beside, freed memory."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ltr.admin.locks import Locks
from ltr.errors import MissingPackageError, UserError

if TYPE_CHECKING:
    from accelerate import Accelerator

# How long a process waits for one that hangs, and for the first while it tracks sequences.
PATIENCE = timedelta(minutes=30)
TRACKING_PATIENCE = timedelta(hours=6)

# Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD = 256 * 2**20
_NEVER = 2**31 - 1

STATUS_STOPPED = {signal.SIGTERM: 75, signal.SIGINT: 130}


def start_processes(device: str) -> Accelerator:
    """Join the processes that torchrun started, or be the only one.

    Precision is the actor's business, so Accelerate is given none; batch-norm statistics are not broadcast, since
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


def wrap(accelerator: Accelerator, actor: nn.Module) -> nn.Module:
    """The actor, its gradients averaged over the processes; itself where there is but one."""
    if accelerator.num_processes == 1:
        return actor
    with warnings.catch_warnings():
        # Newer versions of torch have another name for broadcast_buffers, older ones only this.
        warnings.simplefilter("ignore", FutureWarning)
        wrapped: nn.Module = accelerator.prepare_model(actor)
    return wrapped


def any_of(accelerator: Accelerator, flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Each flag, true where it is true in any process. All processes call this together."""
    if accelerator.num_processes == 1:
        return list(flags)
    total = accelerator.reduce(torch.tensor([float(flag) for flag in flags], device=device), reduction="sum")
    return [value > 0 for value in total.tolist()]


def sum_of(accelerator: Accelerator, values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Sums over the processes of numbers that all of them have. All processes call this together."""
    if accelerator.num_processes == 1:
        return values
    # Processes may have met them in another order.
    names = sorted(values)
    together = torch.tensor([values[name] for name in names], dtype=torch.float64, device=device)
    return dict(zip(names, accelerator.reduce(together, reduction="sum").tolist()))


def average_in_place(accelerator: Accelerator, tensors: Sequence[Tensor]) -> None:
    """Replace floating-point tensors by their means over the processes. All processes call this together."""
    if accelerator.num_processes == 1 or not tensors:
        return
    together = accelerator.reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="mean")
    for tensor, mean in zip(tensors, together.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(mean.view_as(tensor))


def gather(accelerator: Accelerator, items: list[Any]) -> list[Any]:
    """The items of all processes, in the order of the processes. All processes call this together."""
    from accelerate.utils import gather_object

    gathered: list[Any] = gather_object(items)
    return gathered


def from_first(accelerator: Accelerator, item: Any) -> Any:
    """The first process's item, in every process. All processes call this together."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([item], from_process=0)[0]


@contextmanager
def first_alone(accelerator: Accelerator) -> Iterator[None]:
    """The others wait at the end of the block, however long the first process works in it (see `TRACKING_PATIENCE`)."""
    if accelerator.num_processes == 1:
        yield
        return
    group = torch.distributed.new_group(backend="gloo", timeout=TRACKING_PATIENCE)
    try:
        yield
        torch.distributed.barrier(group)
    finally:
        torch.distributed.destroy_process_group(group)


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """For the length of a block, no other program trains in `folder`: a second would mix its checkpoints with these.

    The lock is `<folder>.lock`; of the processes of one run the first holds it.

    Raises:
        UserError: another program trains there.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    locks = Locks()
    if locks.acquire(folder.with_name(f"{folder.name}.lock")) is not None:
        raise UserError(
            f"another program is training in {folder}: wait for it, or give this run another name "
            "(--set name=...) or another --workspace"
        )
    try:
        yield
    finally:
        locks.release_all()


class StoppedBySignal(UserError):
    """The run was asked to stop and has saved its state; the same command goes on from there.

    Attributes:
        status: what the command line exits with: 75 for SIGTERM ("try again", sysexits.h), 130 for Ctrl-C.
    """

    prefix = ""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = STATUS_STOPPED[signal.Signals(number)]


class StopRequest:
    """Remembers the first SIGTERM or SIGINT while it is entered; a second Ctrl-C interrupts at once.

    Attributes:
        number: number of the signal that came, None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}
        self._alone = int(os.environ.get("WORLD_SIZE", "1")) == 1

    def __enter__(self) -> StopRequest:
        for number in STATUS_STOPPED:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.number is not None and not self._alone:
            # torchrun ends all its processes as soon as the first is done.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # torchrun passes a Ctrl-C on to processes that have had it from the terminal already.
        if self.number is not None and number == signal.SIGINT and self._alone:
            raise KeyboardInterrupt
        if self.number is None:
            self.number = number


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed, and to serve large blocks from it too.

    On a CPU, giving memory back to the system and fetching it again costs more time than the arithmetic where page
    faults are expensive (mostly on virtual machines). The process then holds its peak memory until it ends.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_TOP_PAD, _TOP_PAD))
