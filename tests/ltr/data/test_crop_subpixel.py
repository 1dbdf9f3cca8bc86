"""Crops to a fraction of an output pixel: a rectangle between pixels comes out where its box says."""

from __future__ import annotations

import numpy as np
import pytest

from ltr.data.processing import CropSettings, crop, search_region

HEIGHT, WIDTH = 240, 320
BRIGHT = 200.0


def coverage(low: float, length: float, count: int) -> np.ndarray:
    """How much of each of `count` pixels an interval covers."""
    edges = np.arange(count)
    return np.clip(np.minimum(edges + 1, low + length) - np.maximum(edges, low), 0, 1)


def rectangle(box: np.ndarray) -> np.ndarray:
    """A bright rectangle on black whose border pixels are as bright as they are covered."""
    rows, cols = coverage(box[1], box[3], HEIGHT), coverage(box[0], box[2], WIDTH)
    return np.repeat(np.rint(BRIGHT * np.outer(rows, cols))[..., None], 3, axis=2).astype(np.uint8)


def measured(image: np.ndarray) -> np.ndarray:
    """Box [4] of a bright rectangle from the mass and the mean of its profiles, which see fractions of a pixel."""
    mass = image[..., 0].astype(float) / BRIGHT
    found = []
    for profile in (mass.sum(axis=0), mass.sum(axis=1)):
        length = profile.sum() / profile.max()
        middle = (profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum()
        found.append((middle - length / 2, length))
    (x, w), (y, h) = found
    return np.array((x, y, w, h))


# Side of the region over the 64 pixels of the crop, and the error allowed in output pixels. Exact where an output pixel
# is a whole number of pixels (averaged above 2); between them interpolation weighs the covered pixels unevenly.
@pytest.mark.parametrize(
    ("ratio", "tolerance"),
    [(0.55, 0.1), (1.0, 0.02), (1.7, 0.22), (2.0, 0.22), (2.01, 0.03), (2.3, 0.12), (3.0, 0.03), (3.7, 0.18)],
)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, 0.5), (0.8, 0.1)])
@pytest.mark.parametrize("border", ["replicate", "inside_major"])
def test_a_rectangle_between_pixels(ratio, tolerance, shift, border):
    # One target stands clear of the border; the other's region is moved or filled up there.
    for place in ((140.0, 100.0), (22.0, 15.0)):
        size = 64 * ratio / 4 * np.array((1.25, 0.8))
        box = np.concatenate((np.array(place) + shift, size))
        settings = CropSettings(64, 4.0, 0.0, 0.0, border=border)
        region = search_region(box, (HEIGHT, WIDTH), settings)
        image, moved = crop(rectangle(box), box, region, 64)
        assert (moved > 0).all() and (moved[:2] + moved[2:] < 64).all()
        assert measured(image) == pytest.approx(moved, abs=tolerance)


def test_a_narrow_strip_of_the_image_keeps_its_place():
    """Shrunk where less than a whole number of blocks of pixels is left: the averaging must not stretch it."""
    for left in (-200.3, -190.0, 260.7):
        box = np.array((8.4, 60.0, 22.0, 70.0)) if left < 0 else np.array((290.4, 60.0, 22.0, 70.0))
        image, moved = crop(rectangle(box), box, (left, -10.0, 256.0), 64)
        assert measured(image) == pytest.approx(moved, abs=0.15)


def test_settings_out_of_range_are_named():
    for name, value in (
        ("output_size", 0),
        ("flip_probability", 1.5),
        ("scale_jitter_test", -1),
        ("blur_probability", float("nan")),
        ("search_area_factor", float("inf")),
        ("output_size", 10**9),
    ):
        with pytest.raises(ValueError, match=f"{name} must lie between"):
            CropSettings(
                **{
                    "output_size": 64,
                    "search_area_factor": 5.0,
                    "centre_jitter_train": 0,
                    "centre_jitter_test": 0,
                    name: value,
                }
            )
