"""Batch norm in training: which layers learn statistics, and running statistics that no splitting of a batch changes.

A step's running statistics are the mean, over its micro-batches, of what each alone would have made of those before. So
one process with two micro-batches and two processes with one each come to the same: an update is linear in the
statistics before it, and averaging over processes commutes with it, whenever that is done (here: before saving).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ltr.errors import UserError


def set_train_mode(net: nn.Module, batch_norm: str = "batch") -> None:
    """Train mode, except that modules whose parameters are all frozen keep their batch-norm statistics.

    Args:
        batch_norm: 'frozen' keeps the statistics of all others too.
    """
    net.train()
    for module in net.modules():
        parameters = list(module.parameters())
        frozen = parameters and not any(parameter.requires_grad for parameter in parameters)
        if frozen or (batch_norm == "frozen" and isinstance(module, _BatchNorm)):
            module.eval()


def synchronise(net: nn.Module, device: torch.device, processes: int) -> nn.Module:
    """The network with batch norm over the micro-batches of all processes; unchanged where there is but one.

    Raises:
        ValueError: on another device than CUDA, where torch has no such layer.
    """
    if processes == 1:
        return net
    if device.type != "cuda":
        raise UserError(f"batch_norm='sync' works on CUDA only, not on {device.type}")
    return nn.SyncBatchNorm.convert_sync_batchnorm(net)


def running_statistics(net: nn.Module) -> dict[str, Tensor]:
    """Running means and variances of the layers that learn them now (in train mode), by their names."""
    return {
        f"{name}.{key}" if name else key: buffer
        for name, module in net.named_modules()
        if isinstance(module, _BatchNorm) and module.training
        for key, buffer in module.named_buffers(recurse=False)
        if buffer.is_floating_point()
    }


class StepStatistics:
    """The running statistics of a network in train mode during a step of several micro-batches.

    All layers at once: one by one their hundred small tensors cost a GPU as much time as the box head.
    """

    def __init__(self, net: nn.Module) -> None:
        self.live = list(running_statistics(net).values())
        layers = [module for module in net.modules() if isinstance(module, _BatchNorm) and module.training]
        self.counters = [layer.num_batches_tracked for layer in layers if layer.num_batches_tracked is not None]
        self.before = [torch.empty_like(buffer) for buffer in self.live]
        self.sums = [torch.empty_like(buffer) for buffer in self.live]
        self.count = 0

    def begin(self) -> None:
        """Before the first micro-batch of a step."""
        self.count = 0
        if self.live:
            torch._foreach_copy_(self.before, self.live)
            torch._foreach_zero_(self.sums)

    def add(self) -> None:
        """After each micro-batch: keep its statistics, and let the next begin where this one began."""
        self.count += 1
        if self.live:
            torch._foreach_add_(self.sums, self.live)
            torch._foreach_copy_(self.live, self.before)
        if self.counters:
            torch._foreach_sub_(self.counters, 1)

    def end(self) -> None:
        """After the last micro-batch of a step. Until then the network's statistics are those before the step."""
        if self.live:
            torch._foreach_div_(self.sums, self.count)
            torch._foreach_copy_(self.live, self.sums)
        if self.counters:
            torch._foreach_add_(self.counters, 1)
