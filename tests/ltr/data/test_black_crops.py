"""Training crops of OSTrack: those of its tracker, with boxes both by its rule and exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ltr.data.processing import CropProcessing, CropSettings, EmptyCropError
from ltr.errors import UserError
from ltr.ops.square_crops import box_in_crop, square_crop

PLAIN = CropSettings(
    output_size=64, search_area_factor=4, template_size=32, template_area_factor=2, border="black",
    centre_jitter_train=0, centre_jitter_test=0, scale_jitter_train=0, scale_jitter_test=0,
    grayscale_probability=0, brightness_jitter=0,
)  # fmt: skip
IMAGE = np.random.default_rng(0).integers(1, 256, (120, 160, 3), dtype=np.uint8)
BOX = np.array([60.3, 40.6, 22.0, 17.0])


def sample(settings: CropSettings, box: np.ndarray = BOX, seed: int = 0):
    pair = ([IMAGE], box[None])
    return CropProcessing(settings)(pair, pair, np.random.default_rng(seed))


@pytest.mark.parametrize(("name", "factor", "size"), [("train", 2, 32), ("test", 4, 64)])
def test_without_jitter_a_crop_is_the_trackers(name: str, factor: float, size: int) -> None:
    found, cut = sample(PLAIN), square_crop(IMAGE, BOX, factor, size)
    assert np.array_equal(found[f"{name}_images"][0].permute(1, 2, 0).numpy(), cut.patch)
    exact = np.append((BOX[:2] - cut.corner) * cut.scale, BOX[2:] * cut.scale)
    np.testing.assert_allclose(found[f"{name}_boxes"][0], exact, rtol=1e-6)
    np.testing.assert_allclose(cut.in_image(exact), BOX)
    np.testing.assert_allclose(found[f"{name}_labels"][0], size * box_in_crop(BOX, BOX, cut.scale, size), rtol=1e-6)


def test_a_flip_mirrors_image_box_and_label() -> None:
    # All frames together, or each on its own, but not both.
    plain, flips = sample(PLAIN), [sample(replace(PLAIN, flip_probability=0.5), seed=seed) for seed in range(8)]
    mirrored = [np.array_equal(f["test_images"], plain["test_images"].flip(-1)) for f in flips]
    assert 0 < sum(mirrored) < 8
    for flipped in (found for found, is_mirrored in zip(flips, mirrored) if is_mirrored):
        for kind in ("boxes", "labels"):
            wanted = plain[f"test_{kind}"].clone()
            wanted[:, 0] = 64 - wanted[:, 0] - wanted[:, 2]
            np.testing.assert_allclose(flipped[f"test_{kind}"], wanted, rtol=1e-5)


def test_no_crop_is_all_black() -> None:
    """With such jitter most of them would be: each of those is an error, for the sampler to draw another sample."""
    far, black = replace(PLAIN, centre_jitter_test=40.0), 0
    for seed in range(20):
        try:
            assert sample(far, seed=seed)["test_images"][..., ::16, ::16].any()
        except EmptyCropError:
            black += 1
    assert 0 < black < 20
    with pytest.raises(EmptyCropError, match="lies outside"):
        sample(PLAIN, np.array([5000.0, 5000, 10, 10]))


def test_sizes_of_a_template_belong_to_black_crops() -> None:
    with pytest.raises(UserError, match="belong to border 'black'"):
        replace(PLAIN, border="replicate")
    with pytest.raises(UserError, match="belong to border 'black'"):
        replace(PLAIN, template_size=0)
