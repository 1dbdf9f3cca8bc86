"""Loading: batches do not depend on worker processes, epochs reach persistent workers, errors are one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ltr.data.image import read_image
from ltr.data.loader import make_loader
from ltr.data.processing import CropProcessing, CropSettings
from ltr.data.sampler import TrackingSampler
from ltr.dataset.base import SequenceInfo
from ltr.errors import SampleError


class Noise:
    """Videos of noise, or of a file that is not there."""

    name = "noise"
    is_video = True

    def __init__(self, missing=None):
        self.missing = missing

    def __len__(self):
        return 4

    def sequence_name(self, index):
        return f"v{index}"

    def sequence_info(self, index):
        everywhere = np.ones(8, dtype=bool)
        return SequenceInfo(np.tile(np.float32((10, 8, 20, 16)), (8, 1)), everywhere, everywhere)

    def frames(self, index, frame_ids):
        if self.missing is not None:
            return [read_image(self.missing)]
        return [np.random.default_rng([index, t]).integers(0, 256, (40, 50, 3), dtype=np.uint8) for t in frame_ids]


def make(dataset, workers, batch_size=3, samples=8):
    processing = CropProcessing(CropSettings(32, 4.0, 1.0, 2.0))
    sampler = TrackingSampler(
        [(dataset, 1.0)], processing, samples_per_epoch=samples, max_gap=5, num_train_frames=1, num_test_frames=2
    )
    return make_loader(sampler, batch_size, workers)


def epoch(loader, number):
    loader.set_epoch(number)
    return list(loader)


def same(one, two):
    return all(
        torch.equal(a[name], b[name]) if torch.is_tensor(a[name]) else a[name] == b[name]
        for a, b in zip(one, two, strict=True)
        for name in a
    )


def test_a_batch_has_frames_first_and_the_last_incomplete_one_is_dropped():
    loader = make(Noise(), 0)
    batches = epoch(loader, 0)
    assert len(loader) == len(batches) == 2
    batch = batches[0]
    assert batch["train_images"].shape == (1, 3, 3, 32, 32) and batch["train_images"].dtype == torch.uint8
    assert batch["test_images"].shape == (2, 3, 3, 32, 32)
    assert batch["train_boxes"].shape == (1, 3, 4) and batch["test_boxes"].dtype == torch.float32
    assert len(batch["sources"]) == 3 and all(source.startswith("noise:v") for source in batch["sources"])


def test_workers_change_nothing_and_follow_the_epoch():
    alone, helped = make(Noise(), 0), make(Noise(), 2)
    for number in (0, 1, 5, 0):
        assert same(epoch(alone, number), epoch(helped, number))
    assert not same(epoch(alone, 0), epoch(alone, 1))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_frame_is_one_line(workers, tmp_path):
    with pytest.raises(SampleError) as caught:
        epoch(make(Noise(tmp_path / "0001.jpg"), workers), 0)
    message = str(caught.value)
    assert message.startswith("noise:v") and "0001.jpg: No such file" in message and "\n" not in message


def test_an_epoch_without_a_batch_is_refused():
    with pytest.raises(ValueError, match="8 samples an epoch do not fill one batch of 9"):
        make(Noise(), 0, batch_size=9)
