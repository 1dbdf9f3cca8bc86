"""Reading a frame, and noticing a damaged one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.evaluation.images import read_image


def test_images_are_rgb(tmp_path: Path) -> None:
    image = np.zeros((8, 10, 3), np.uint8)
    image[...] = (200, 100, 50)
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    assert np.array_equal(read_image(tmp_path / "image.png"), image)


def test_a_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    file = tmp_path / "image.jpg"
    cv2.imwrite(str(file), image)
    assert read_image(file).shape == image.shape
    data = file.read_bytes()
    file.write_bytes(data + b"\0" * 16)
    assert read_image(file).shape == image.shape
    file.write_bytes(data[: len(data) // 2])
    assert cv2.imread(str(file)) is not None, "OpenCV alone does not notice"
    with pytest.raises(UserError, match="cut short"):
        read_image(file)


@pytest.mark.parametrize(("content", "message"), [(b"", "cannot be decoded"), (b"no image", "cannot be decoded")])
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "image.jpg"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_image(file)


def test_missing_images_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the image"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="folder"):
        read_image(tmp_path)
