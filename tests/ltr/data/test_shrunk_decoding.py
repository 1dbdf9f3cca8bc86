"""Frames decoded at a part of their size: crops lie where they lay, to the bit for boxes, and look the same."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tiny_data import write_lines

from ltr.data.image import read_image, read_shrunk
from ltr.data.processing import CropProcessing, CropSettings
from ltr.data.sampler import TrackingSampler
from ltr.dataset.folders import FolderSequences

SETTINGS = CropSettings(
    96, 5.0, 2.0, 3.0, 0.3, 0.4, brightness_jitter=0.0, grayscale_probability=0.0, flip_probability=0.5
)


def scene(number: int) -> np.ndarray:
    """A bright disc over slow waves; width and height are no multiples of eight."""
    y, x = np.mgrid[:717, :1283].astype(np.float32)
    image = np.stack([90 + 50 * np.sin(x / (40 + 9 * k) + number) * np.cos(y / 55) for k in range(3)], axis=2)
    image[(x - 640 - 20 * number) ** 2 + (y - 360) ** 2 < 70**2] = (240, 200, 0)
    return image.astype(np.uint8)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    (root / "disc" / "img").mkdir(parents=True)
    for number in range(4):
        content = cv2.imencode(".jpg", scene(number)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (root / "disc" / "img" / f"{number + 1:04d}.jpg").write_bytes(content.tobytes())
    write_lines(root / "disc" / "groundtruth_rect.txt", [f"{570 + 20 * k},290,140,140" for k in range(4)])
    return root


def disc(blue: torch.Tensor) -> torch.Tensor:
    """The middle (row, column) of the disc, the only part of a scene without blue; NaN where little of it is seen."""
    weight = (30 - blue.float()).clamp(min=0)
    weight = weight if weight.sum() > 30 * 200 else torch.full_like(weight, float("nan"))
    rows, cols = (torch.arange(side).float() for side in blue.shape)
    return torch.stack(((weight.sum(1) * rows).sum(), (weight.sum(0) * cols).sum())) / weight.sum()


@pytest.mark.parametrize("border", ["replicate", "inside_major"])
@pytest.mark.parametrize("size", [96, 200, 352])
def test_samples_are_those_of_whole_frames(videos, monkeypatch, tmp_path, border, size):
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path))
    dataset = FolderSequences(videos)
    shrunk = []

    def spy(*arguments):
        shrunk.append(read_shrunk(*arguments))
        return shrunk[-1]

    monkeypatch.setattr("ltr.data.sampler.read_shrunk", spy)

    def samples(shrink):
        frames = {"num_train_frames": 1, "num_test_frames": 1, "max_gap": 3}
        crops = replace(SETTINGS, border=border, output_size=size, shrink_decoding=shrink)
        sampler = TrackingSampler([(dataset, 1.0)], CropProcessing(crops), samples_per_epoch=8, **frames)
        return [sampler[(0, k)] for k in range(8)]

    whole = samples(False)
    assert {frame.shrink for frame in shrunk} == {1}
    shrunk.clear()
    shifts = []
    for first, second in zip(samples(True), whole):
        for part in ("train", "test"):
            assert torch.equal(first[f"{part}_boxes"], second[f"{part}_boxes"])
            apart = (first[f"{part}_images"].float() - second[f"{part}_images"].float()).abs()
            assert apart.mean() < 1.5
            shifts.append(disc(first[f"{part}_images"][0, 2]) - disc(second[f"{part}_images"][0, 2]))
    shifts = [shift for shift in shifts if shift.isfinite().all()]
    assert len(shifts) > 8
    # A shift by half a pixel of the shrunk frame would be 0.2 pixels of a crop or more.
    assert torch.stack(shifts).mean(0).abs().max() < 0.05
    assert {frame.shrink for frame in shrunk} >= {96: {4, 8}, 200: {2}, 352: {1}}[size]


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_pixel_stands_for_a_block_of_pixels(videos, shrink):
    path = videos / "disc" / "img" / "0001.jpg"
    frame, whole = read_shrunk(path, None, lambda size: shrink), read_image(path)
    assert frame.size == whole.shape[:2] == (717, 1283)
    assert (frame.shrink, frame.image.shape) == (shrink, (-(-717 // shrink), -(-1283 // shrink), 3))
    rows, cols = 717 // shrink, 1283 // shrink
    blocks = whole[: rows * shrink, : cols * shrink].reshape(rows, shrink, cols, shrink, 3).mean((1, 3))
    assert np.abs(frame.image[:rows, :cols] - blocks).mean() < 1.5


def test_turned_images_and_other_formats_are_read_whole(videos, tmp_path):
    image = cv2.imread(str(videos / "disc" / "img" / "0001.jpg"))
    cv2.imwrite(str(tmp_path / "a.png"), image)
    jpeg = (videos / "disc" / "img" / "0001.jpg").read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "b.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    for name, size in (("a.png", (717, 1283)), ("b.jpg", (1283, 717))):
        frame = read_shrunk(tmp_path / name, None, lambda size: 2)
        assert (frame.size, frame.shrink) == (size, 1)
        assert np.array_equal(frame.image, read_image(tmp_path / name))
