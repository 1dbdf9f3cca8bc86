"""Crops: geometry to a fraction of a pixel, and the augmentations of a sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.processing import CropProcessing, CropSettings, crop, jitter_box, search_region

PLAIN = {
    "output_size": 64,
    "search_area_factor": 4.0,
    "centre_jitter_train": 0.0,
    "centre_jitter_test": 0.0,
    "scale_jitter_train": 0.0,
    "scale_jitter_test": 0.0,
    "grayscale_probability": 0.0,
    "brightness_jitter": 0.0,
}


def ramp(width: int = 250, height: int = 200) -> np.ndarray:
    """Pixel (x, y) has the colour (x, y, 0): a crop's colours tell where they were taken from."""
    y, x = np.mgrid[:height, :width]
    return np.stack((x, y, np.zeros_like(x)), axis=2).astype(np.uint8)


def painted(box: tuple[int, int, int, int], width: int = 320, height: int = 240) -> np.ndarray:
    """A bright box on black."""
    image = np.zeros((height, width, 3), np.uint8)
    x, y, w, h = box
    image[y : y + h, x : x + w] = 240
    return image


def bright_box(image: np.ndarray, level: float = 120) -> np.ndarray:
    """The box [4] (x, y, w, h) of what is brighter than `level`."""
    rows, cols = np.nonzero(image[..., 0] > level)
    return np.array((cols.min(), rows.min(), cols.max() + 1 - cols.min(), rows.max() + 1 - rows.min()))


@pytest.mark.parametrize("region", [(40.0, 30.0, 64.0), (40.3, 30.8, 50.0), (20.5, 11.25, 100.0), (10.0, 5.0, 190.0)])
def test_a_crop_shows_the_pixels_of_its_region(region):
    left, top, side = region
    out, box = crop(ramp(), np.array((50.0, 40.0, 20.0, 10.0)), region, 64)
    assert out.shape == (64, 64, 3)
    scale = side / 64
    # The middle of crop pixel i lies at left + (i + 1/2) scale, where the ramp's value is that less 1/2.
    wanted = (np.arange(2, 62) + 0.5) * scale - 0.5
    assert abs(out[10, 2:62, 0] - (left + wanted)).max() < 1.0
    assert abs(out[2:62, 10, 1] - (top + wanted)).max() < 1.0
    assert box == pytest.approx(((50 - left) / scale, (40 - top) / scale, 20 / scale, 10 / scale))


def test_a_crop_repeats_the_border_outside_the_image():
    out, _ = crop(ramp(), np.array((0.0, 0.0, 10.0, 10.0)), (-32.0, -32.0, 64.0), 64)
    assert (out[:30, :30, :2] == 0).all()
    # Shrunk 12.5 times, the border is the mean of its last 12 pixels.
    out, _ = crop(ramp(), np.array((0.0, 0.0, 10.0, 10.0)), (-300.0, -300.0, 800.0), 64)
    assert (out[:20, :20, :2] <= 7).all() and (out[50:, 50:, 0] >= 242).all() and (out[50:, 50:, 1] >= 192).all()


@pytest.mark.parametrize("side", [40.0, 64.0, 110.0, 150.0, 310.0])
def test_the_box_of_a_crop_lies_where_the_target_is(side):
    box = (120, 90, 30, 22)
    out, moved = crop(painted(box), np.array(box, float), (135 - side / 2, 101 - side / 2, side), 64)
    inside = np.concatenate((np.clip(moved[:2], 0, 64), np.clip(moved[:2] + moved[2:], 0, 64)))
    found = bright_box(out)
    assert abs(np.concatenate((found[:2], found[:2] + found[2:])) - inside).max() <= 0.75


def test_shrinking_averages_rather_than_skips_pixels():
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, ::2] = 200
    out, _ = crop(image, np.array((0.0, 0.0, 10.0, 10.0)), (40.0, 0.0, 240.0), 30)
    assert abs(out.astype(int) - 100).max() <= 20


boxes = st.tuples(
    st.floats(0, 300), st.floats(0, 220), st.floats(4, 200), st.floats(4, 200)
)  # of an image of 320 x 240


@settings(deadline=None, derandomize=True)
@given(boxes)
def test_replicate_regions_are_centred_squares(values):
    box = np.array(values)
    left, top, side = search_region(box, (240, 320), CropSettings(**PLAIN))
    assert side == pytest.approx(4 * np.sqrt(box[2] * box[3]))
    assert (left + side / 2, top + side / 2) == pytest.approx(tuple(box[:2] + box[2:] / 2))


@settings(deadline=None, derandomize=True)
@given(boxes)
def test_inside_major_regions_leave_the_image_no_more_than_they_must(values):
    box = np.array(values)
    changed = CropSettings(**PLAIN, border="inside_major", max_scale_change=1.5)
    left, top, side = search_region(box, (240, 320), changed)
    full = 4 * np.sqrt(box[2] * box[3])
    assert full / 1.5 - 1e-9 <= side <= full + 1e-9
    for low, extent, centre in ((left, 320, box[0] + box[2] / 2), (top, 240, box[1] + box[3] / 2)):
        if side < extent - 1e-6:
            assert low >= -1e-9 and low + side <= extent + 1e-9
            if centre - side / 2 >= 0 and centre + side / 2 <= extent:
                assert low == pytest.approx(centre - side / 2)
        else:
            assert low + side / 2 == pytest.approx(extent / 2)
    if full <= 320 * 1.5:
        # It fits along the longer axis at least.
        assert side <= 320 + 1e-6


def test_jitter_has_the_spread_of_the_specification():
    rng = np.random.default_rng(0)
    box = np.array((100.0, 80.0, 40.0, 10.0))
    drawn = np.array([jitter_box(box, 2.0, 0.3, rng) for _ in range(4000)])
    logs = np.log(drawn[:, 2:] / box[2:])
    assert abs(logs.mean(axis=0)).max() < 0.02
    assert logs.std(axis=0) == pytest.approx((0.3, 0.3), rel=0.05)
    away = (drawn[:, :2] + drawn[:, 2:] / 2 - (120, 85)) / np.sqrt(drawn[:, 2:].prod(axis=1))[:, None]
    assert abs(away).max() <= 1.0 and abs(away).max() > 0.95
    assert away.std(axis=0) == pytest.approx((2 / np.sqrt(12),) * 2, rel=0.05)
    assert np.array_equal(jitter_box(box, 0.0, 0.0, rng), box)


@pytest.mark.parametrize("border", ["replicate", "inside_major"])
def test_a_samples_boxes_follow_jitter_and_flips(border):
    settings = CropSettings(128, 5.0, 2.0, 3.0, 0.2, 0.3, border=border, flip_probability=0.5)
    box = (140, 90, 46, 30)
    frames = [painted(box)] * 3
    flipped = 0
    for seed in range(30):
        sample = CropProcessing(settings)((frames, np.array([box] * 3)), (frames, np.array([box] * 3)), rng(seed))
        for part in ("train", "test"):
            for image, moved in zip(sample[f"{part}_images"].numpy(), sample[f"{part}_boxes"].numpy()):
                low, high = np.clip(moved[:2], 0, 128), np.clip(moved[:2] + moved[2:], 0, 128)
                if (high - low).min() < 3:
                    continue
                found = bright_box(image.transpose(1, 2, 0), image.max() / 2)
                assert abs(np.concatenate((found[:2] - low, found[:2] + found[2:] - high))).max() <= 1.0
                flipped += 1
    assert flipped > 100


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_sample_has_the_promised_tensors():
    frames = [ramp()] * 3
    boxes = np.array([(60, 50, 20, 20)] * 3)
    sample = CropProcessing(CropSettings(**PLAIN))((frames[:2], boxes[:2]), (frames, boxes), rng(0))
    assert {name: (str(value.dtype), tuple(value.shape)) for name, value in sample.items()} == {
        "train_images": ("torch.uint8", (2, 3, 64, 64)),
        "train_boxes": ("torch.float32", (2, 4)),
        "test_images": ("torch.uint8", (3, 3, 64, 64)),
        "test_boxes": ("torch.float32", (3, 4)),
    }
    assert all(value.is_contiguous() for value in sample.values())
    assert sample["test_boxes"][0].tolist() == pytest.approx([24, 24, 16, 16])


def test_a_sample_is_grey_as_a_whole_or_not_at_all():
    frames, boxes = [ramp()] * 2, np.array([(60, 50, 20, 20)] * 2)
    seen = set()
    for seed in range(20):
        process = CropProcessing(CropSettings(**{**PLAIN, "grayscale_probability": 0.5}))
        sample = process((frames, boxes), (frames, boxes), rng(seed))
        grey = {bool((image[0] == image[2]).all()) for part in ("train", "test") for image in sample[f"{part}_images"]}
        assert len(grey) == 1
        seen |= grey
    assert seen == {True, False}


@pytest.mark.parametrize(("joint", "low", "high", "together"), [(0.0, 79, 120, False), (0.2, 63, 144, True)])
def test_brightness_changes_frame_by_frame_and_together(joint, low, high, together):
    frames = [np.full((100, 100, 3), 100, np.uint8)] * 4
    boxes = np.array([(40, 40, 20, 20)] * 4)
    process = CropProcessing(CropSettings(**{**PLAIN, "brightness_jitter": 0.2, "joint_brightness_jitter": joint}))
    values = []
    for seed in range(60):
        sample = process((frames[:2], boxes[:2]), (frames, boxes), rng(seed))
        values.append([float(image.float().mean()) for image in (*sample["train_images"], *sample["test_images"])])
    means = np.array(values)
    assert means.min() >= low and means.max() <= high
    assert (means.max(axis=1) - means.min(axis=1)).mean() > 5, "each frame on its own"
    # Six independent frames of deviation 11.5 have a mean of deviation 4.7.
    assert (means.mean(axis=1).std() > 8) == together


def test_a_sample_depends_on_its_generator_only():
    settings = CropSettings(64, 5.0, 3.0, 4.5, flip_probability=0.5, blur_probability=0.5)
    frames, boxes = [ramp()] * 2, np.array([(60, 50, 40, 20)] * 2)
    one, two, three = (CropProcessing(settings)((frames, boxes), (frames, boxes), rng(seed)) for seed in (1, 1, 2))
    assert all((one[name] == two[name]).all() for name in one)
    assert not all((one[name] == three[name]).all() for name in one)
    assert np.array_equal(frames[0], ramp()), "the frames themselves stay as they are"


def test_an_unknown_border_is_refused():
    with pytest.raises(ValueError, match="inside_major"):
        CropSettings(64, 5.0, 0.0, 0.0, border="inside")
