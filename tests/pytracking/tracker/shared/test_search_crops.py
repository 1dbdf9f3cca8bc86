from __future__ import annotations

import numpy as np
import pytest
import torch

from ltr.ops.crops import patch_lines, sample_patch
from pytracking.tracker.shared.search import crop_patch, cut_region

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PLACE = (30.0, 41.0)


@pytest.mark.parametrize("mode", ["replicate", "inside", "inside_major"])
@pytest.mark.parametrize("place", [(30.0, 41.0), (0.0, 0.0), (59.0, 79.0), (-90.0, 200.0)])
@pytest.mark.parametrize("side", [0.5, 20.0, 40.0, 71.3, 170.0])
def test_is_the_crop_rule_on_the_float_image(mode, place, side):
    patch, shown = crop_patch(IMAGE, place, side, 32, mode, 1.5)
    image = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float()
    expected, coordinates = sample_patch(image, place, (side, side), (32, 32), mode, 1.5)
    assert patch.dtype == torch.float32 and patch.shape == (1, 3, 32, 32) and patch.is_contiguous()
    torch.testing.assert_close(patch, expected, rtol=0, atol=2e-4)
    np.testing.assert_array_equal(shown, coordinates)


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


@pytest.mark.parametrize("step", [1, 2, 3, 7, 49, 64, 65, 93, 105])
def test_every_so_many_pixels_are_the_images_own(step: int) -> None:
    image = np.random.default_rng(step).integers(0, 256, (100, 300 * step, 3), dtype=np.uint8)
    for size, place in ((256, 150 * step), (256, 10), (100, 299 * step)):
        side = (step + 0.5) * size
        rows, columns, _ = patch_lines(image.shape[:2], (50, place), (side, side), (size, size))
        assert rows.step == columns.step == step
        region, _ = cut_region(image, (50, place), side, size)
        np.testing.assert_array_equal(region, image[rows.places()][:, columns.places()])
