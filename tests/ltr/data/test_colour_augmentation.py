"""Photometric augmentation: colours to within a level, and nothing that hides the target."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data import augmentation
from ltr.data.processing import CropProcessing, CropSettings
from ltr.train_settings.recipe import with_changes

BOX = np.array((20.0, 24.0, 30.0, 20.0))


def noise(seed: int = 0, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.floats(0.5, 1.5),
    st.floats(0.5, 1.5),
    st.floats(0, 2),
    st.floats(-3, 3),
    st.booleans(),
)
def test_a_map_is_applied_to_within_one_level(gain, contrast, saturation, hue, gray):
    image = noise()
    matrix = augmentation.colour_map(gain, contrast, saturation, hue, gray)
    wanted = np.clip(image @ matrix[:, :3].T + matrix[:, 3], 0, 255)
    assert abs(augmentation.apply_colour_map(image, matrix) - wanted).max() <= 1.001


@pytest.mark.parametrize("gain", [0.83, 1.17])
def test_a_gain_rounds_rather_than_cuts_off(gain):
    """Cutting off darkens by half a level on average."""
    image = noise()
    wanted = np.minimum(image * gain, 255)
    changed = augmentation.apply_colour_map(image, augmentation.colour_map(gain, 1, 1, 0, False))
    assert abs((changed - wanted).mean()) < 0.02 and abs(changed - wanted).max() <= 0.5 + 1e-9


def test_each_setting_does_what_its_name_says():
    image = noise()
    plain = {"gain": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "gray": False}

    def mapped(**changes):
        return augmentation.apply_colour_map(image, augmentation.colour_map(**{**plain, **changes})).astype(float)

    assert np.array_equal(mapped(), image)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for one in (mapped(gray=True), mapped(saturation=0.0)):
        assert abs(one - gray[..., None]).max() <= 1
    assert mapped(contrast=0.5).std() == pytest.approx(image.std() / 2, rel=0.01)
    assert mapped(contrast=0.5).mean() == pytest.approx((image.mean() + 127.5) / 2, abs=0.5)
    # A third of a turn moves every channel to the next.
    turned = mapped(hue=2 * np.pi / 3)
    assert abs(turned - image[..., [2, 0, 1]]).max() <= 1
    colour = np.full((1, 1, 3), (180, 120, 90), np.uint8)
    slightly = augmentation.apply_colour_map(colour, augmentation.colour_map(1, 1, 1, 0.2, False))[0, 0]
    assert colorsys.rgb_to_hsv(*slightly / 255)[0] > colorsys.rgb_to_hsv(*colour[0, 0] / 255)[0]


def test_a_cutout_hides_half_of_the_target_at_most():
    image = noise()
    image[24:44, 20:50] = 255
    shares, changed = [], []
    for seed in range(300):
        hidden = augmentation.cut_out(image, BOX, np.random.default_rng(seed))
        shares.append((hidden[24:44, 20:50] != 255).all(axis=2).mean())
        changed.append((hidden != image).any(axis=2).mean())
    # Rounding to whole pixels can add a row and a column.
    assert max(shares) <= 0.5 + 0.05 and max(shares) > 0.4 and min(changed) >= 0 and np.mean(changed) > 0.02
    assert np.array_equal(image[24:44, 20:50], np.full((20, 30, 3), 255)), "the image itself stays"


def test_options_beyond_the_reference_are_off_and_can_be_set():
    crops = CropSettings(64, 4.0, 0.0, 0.0)
    options = ("contrast_jitter", "saturation_jitter", "hue_jitter", "cutout_probability", "blur_probability")
    assert all(getattr(crops, name) == 0 for name in options)
    changed = with_changes(crops, [f"{name}=0.5" for name in options])
    assert all(getattr(changed, name) == 0.5 for name in options)
    with pytest.raises(ValueError, match="hue_jitter must lie between 0 and 1"):
        with_changes(crops, ["hue_jitter=2"])


def test_a_cutout_and_blur_touch_test_frames_only():
    calm = CropSettings(64, 4.0, 0.0, 0.0, 0.0, 0.0, grayscale_probability=0.0, brightness_jitter=0.0)
    frames, boxes = [noise(1, 200)] * 2, np.array([(80, 80, 30, 30)] * 2)

    def sample(*changes):
        made = with_changes(calm, list(changes))
        return CropProcessing(made)((frames, boxes), (frames, boxes), np.random.default_rng(0))

    plain = sample()
    for change in ("cutout_probability=1.0", "blur_probability=1.0"):
        spoilt = sample(change)
        assert (spoilt["train_images"] == plain["train_images"]).all()
        assert not (spoilt["test_images"] == plain["test_images"]).all()
        assert (spoilt["test_boxes"] == plain["test_boxes"]).all()
    for change in ("contrast_jitter=0.4", "saturation_jitter=0.4", "hue_jitter=0.1"):
        coloured = sample(change)
        one, two = coloured["train_images"]
        assert not (one == two).all(), "every frame on its own"
