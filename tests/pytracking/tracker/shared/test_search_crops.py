from __future__ import annotations

import numpy as np
import pytest
import torch

from ltr.ops.crops import sample_patch
from pytracking.tracker.shared.search import crop_patch

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PLACE = (30.0, 41.0)


def test_is_the_crop_rule_on_the_float_image():
    patch, shown = crop_patch(IMAGE, PLACE, 40.0, 32, "inside_major", 1.5)
    image = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float()
    expected, coordinates = sample_patch(image, (30.0, 41.0), (40.0, 40.0), (32, 32), "inside_major", 1.5)
    assert patch.dtype == torch.float32 and patch.shape == (1, 3, 32, 32)
    assert torch.equal(patch, expected) and torch.equal(shown, coordinates)


def test_reversed_and_read_only_images_are_taken():
    expected, _ = crop_patch(IMAGE, PLACE, 40.0, 32)
    flipped = np.ascontiguousarray(IMAGE[..., ::-1])[..., ::-1]
    locked = IMAGE.copy()
    locked.setflags(write=False)
    assert torch.equal(crop_patch(flipped, PLACE, 40.0, 32)[0], expected)
    assert torch.equal(crop_patch(locked, PLACE, 40.0, 32)[0], expected)


def test_the_image_is_not_written_to():
    image = IMAGE.copy()
    crop_patch(image, PLACE, 31.0, 31)[0].zero_()
    assert np.array_equal(image, IMAGE)


@pytest.mark.parametrize("bad", [IMAGE[..., 0], IMAGE.astype(np.float32), np.zeros((4, 4, 4), np.uint8)])
def test_other_images_are_an_error(bad):
    with pytest.raises(ValueError, match="uint8 RGB array of shape"):
        crop_patch(bad, PLACE, 40.0, 32)
