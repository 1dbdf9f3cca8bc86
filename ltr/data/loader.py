"""Batches of samples from worker processes, in an order that only the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from ltr.data.sampler import SampleError, TrackingSampler


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) keys.

    The epoch travels in the key, since persistent workers keep the copy of the data set that they were started with.
    """

    def __init__(self, samples: int, batch_size: int) -> None:
        if not 1 <= batch_size <= samples:
            raise ValueError(f"{samples} samples an epoch do not fill one batch of {batch_size}")
        self.samples = samples
        self.batch_size = batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return self.samples // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in range(len(self)):
            yield [(self.epoch, batch * self.batch_size + k) for k in range(self.batch_size)]


class EpochLoader:
    """An iterable of batches whose epoch is set by `set_epoch`.

    A batch holds `train_images`, `test_images` uint8 [n, B, 3, S, S], `train_boxes`, `test_boxes` float32 [n, B, 4]
    (x, y, w, h) in crop pixels, and `sources`, a list of 'data set:sequence'. The last, incomplete batch is dropped.

    Raises:
        ValueError: the samples of an epoch do not fill one batch.
        SampleError: while iterating, a sequence cannot be read; one line, also when it comes from a worker.
    """

    def __init__(self, sampler: TrackingSampler, batch_size: int, num_workers: int) -> None:
        self.batches = EpochBatches(len(sampler), batch_size)
        self.loader = DataLoader(
            sampler,
            batch_sampler=self.batches,
            num_workers=num_workers,
            collate_fn=collate,
            worker_init_fn=_quiet_worker,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration gives."""
        self.batches.epoch = epoch

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
        for name in ("train_images", "train_boxes", "test_images", "test_boxes")
    }
    batch["sources"] = [sample["source"] for sample in samples]
    return batch


def _quiet_worker(worker: int) -> None:
    """One thread a worker: several libraries' pools on the same cores slow each other down."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
