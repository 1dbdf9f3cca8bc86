"""Batches of samples from worker processes, in an order that only the seed and the epoch decide."""

from __future__ import annotations

import atexit
import signal
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.sharedctypes import RawValue
from types import FrameType
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from ltr.data.sampler import TrackingSampler
from ltr.errors import SampleError, UserError


class _EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) keys, `numbers` of the `total` in an epoch; n has the samples n B to (n + 1) B - 1.

    The epoch travels in the key, since persistent workers keep the copy of the data set that they were started with.
    """

    def __init__(self, samples: int, batch_size: int) -> None:
        if not 1 <= batch_size <= samples:
            raise UserError(f"{samples} samples an epoch do not fill one batch of {batch_size}")
        self.batch_size = batch_size
        self.epoch = 0
        self.total = samples // batch_size
        self.numbers: Sequence[int] = range(self.total)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        for number in self.numbers:
            yield [(epoch, number * self.batch_size + k) for k in range(self.batch_size)]


class EpochLoader:
    """An iterable of batches whose epoch is set by `set_epoch`.

    A batch holds `train_images`, `test_images` uint8 [n, B, 3, S, S], `train_boxes`, `test_boxes` float32 [n, B, 4]
    (x, y, w, h) in crop pixels, and `sources`, a list of 'data set:sequence'. The last, incomplete batch is dropped.

    Raises:
        ValueError: the samples of an epoch do not fill one batch.
        SampleError: while iterating, a sequence cannot be read; one line, also when it comes from a worker.
    """

    def __init__(self, sampler: TrackingSampler, batch_size: int, num_workers: int) -> None:
        self.batches = _EpochBatches(len(sampler), batch_size)
        ending = RawValue("b", 0)
        # At exit, before multiprocessing terminates the workers and waits for them without end.
        atexit.register(_say, ending)
        weakref.finalize(self, _say, ending)
        self.loader = DataLoader(
            sampler,
            batch_sampler=self.batches,
            num_workers=num_workers,
            collate_fn=collate,
            worker_init_fn=partial(_settle_worker, ending),
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def set_epoch(self, epoch: int, numbers: Sequence[int] | None = None) -> None:
        """Which epoch the next iteration gives, and which of its batches (by default those set before)."""
        self.batches.epoch = epoch
        if numbers is not None:
            self.batches.numbers = numbers

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            yield from self.loader
        except SampleError as error:
            # A worker's error arrives as its whole traceback; its last line says what is wrong.
            raise SampleError(str(error).strip().rsplit("SampleError: ", 1)[-1]) from None


def make_loader(sampler: TrackingSampler, batch_size: int, num_workers: int) -> EpochLoader:
    """Batches of a sampler; `num_workers` = 0 loads in this process."""
    return EpochLoader(sampler, batch_size, num_workers)


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack samples along the second dimension, sequences after frames."""
    batch: dict[str, Any] = {
        name: torch.stack([sample[name] for sample in samples], dim=1)
        for name, value in samples[0].items()
        if isinstance(value, Tensor)
    }
    batch["sources"] = [sample["source"] for sample in samples]
    return batch


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device; from pinned memory, without waiting."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def _say(ending: Any) -> None:
    """Tell the workers that a SIGTERM is meant for them; `ending` is a ctypes byte in shared memory."""
    ending.value = 1


def _settle_worker(ending: Any, worker: int) -> None:
    """One thread a worker, since several libraries' pools on the same cores slow each other down; and patience.

    Ctrl-C and a cluster's SIGTERM reach all processes of a run. The training process decides what follows, and needs
    its workers until the step is done: they obey SIGTERM only once it is `ending`.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, partial(_terminate_if, ending))


def _terminate_if(ending: Any, number: int, frame: FrameType | None) -> None:
    if ending.value:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
