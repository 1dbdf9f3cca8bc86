"""Files that go bad during a run: one line that names data set, sequence and file, from worker processes too."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from mini_training_sets import make_coco, make_trackingnet

from ltr.data.loader import make_loader
from ltr.data.processing import CropProcessing, CropSettings
from ltr.data.sampler import TrackingSampler
from ltr.dataset.coco import Coco
from ltr.dataset.tracking_net import TrackingNet
from ltr.errors import SampleError


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """After an error torch waits twice this long, 5 seconds by default, for workers that are still loading."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)


def sampler(dataset):
    return TrackingSampler(
        [(dataset, 1.0)],
        CropProcessing(CropSettings(32, 4.0, 1.0, 2.0)),
        samples_per_epoch=8,
        max_gap=30,
        num_train_frames=3,
        num_test_frames=3,
    )


def epoch(dataset, workers):
    loader = make_loader(sampler(dataset), 4, workers)
    loader.set_epoch(0)
    return list(loader)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-25])


def corrupt(path):
    """Whole by its ends, but nothing that can be decoded between them."""
    content = path.read_bytes()
    path.write_bytes(content[:20] + bytes(200) + content[-2:])


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncate, "is cut short: the end of the image is missing"),
        (corrupt, "cannot be decoded as an image"),
        (empty, "cannot be decoded as an image (0 bytes)"),
        (remove, "No such file"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_frame_that_cannot_be_read_is_named(tmp_path, workers, harm, message):
    root = make_trackingnet(tmp_path, sets=1)
    data = TrackingNet(root, "0")
    assert len(epoch(data, 0)) == 2
    for path in (root / "TRAIN_0" / "frames" / "vid01_0").iterdir():
        harm(path)
    with pytest.raises(SampleError) as caught:
        epoch(data, workers)
    said = str(caught.value)
    assert said.startswith("trackingnet_0:vid01_0: ") and message in said and "\n" not in said
    assert str(root / "TRAIN_0" / "frames" / "vid01_0") in said


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    data = Coco(make_coco(tmp_path, images=1))
    truncate(tmp_path / "images" / "train2017" / "000000000001.jpg")
    with pytest.raises(SampleError, match=r"coco_train2017:000000000001\.jpg#\d: .*000000000001\.jpg is cut short"):
        epoch(data, 1)


def test_a_program_that_ends_by_the_error_ends_its_workers(tmp_path):
    root = make_trackingnet(tmp_path, sets=1)
    for path in (root / "TRAIN_0" / "frames" / "vid01_0").iterdir():
        truncate(path)
    program = f"""
from pathlib import Path
from ltr.data.loader import make_loader
from ltr.data.processing import CropProcessing, CropSettings
from ltr.data.sampler import TrackingSampler
from ltr.dataset.tracking_net import TrackingNet
crops = CropProcessing(CropSettings(32, 4.0, 1.0, 2.0))
sampler = TrackingSampler([(TrackingNet(Path({str(root)!r}), "0"), 1.0)], crops, samples_per_epoch=8, max_gap=30,
                          num_train_frames=3, num_test_frames=3)
list(make_loader(sampler, 4, 1))
"""
    # A worker that outlived the error would keep the program for ever.
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert "SampleError: trackingnet_0:vid01_0: " in ended.stderr
