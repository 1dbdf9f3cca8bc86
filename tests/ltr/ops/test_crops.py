"""Crops: equal to the reference bit for bit; the border modes' promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import load_golden
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.ops.crops import sample_patch

GOLDEN = load_golden("sample_patch")
CASES = sorted({key.split("_")[0] for key in GOLDEN if key.startswith("case")})


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_equals_golden(case: str, dtype: torch.dtype) -> None:
    image = torch.from_numpy(GOLDEN["image"]).to(dtype)
    side, out = float(GOLDEN[f"{case}_sample_sz"]), int(GOLDEN[f"{case}_output_sz"])
    mode = str(GOLDEN[f"{case}_mode"])
    patch, shown = sample_patch(image, GOLDEN[f"{case}_pos"], (side, side), (out, out), mode)
    assert torch.equal(shown, torch.from_numpy(GOLDEN[f"{case}_coord_tlbr_yx"]))
    torch.testing.assert_close(patch, torch.from_numpy(GOLDEN[f"{case}_patch"]), rtol=0, atol=0)


def ramp(height: int, width: int) -> torch.Tensor:
    """An image whose two channels are each pixel's row and column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows, columns))[None].float()


def test_without_an_output_size_the_pixels_are_those_of_the_image() -> None:
    patch, shown = sample_patch(ramp(50, 60), (20.9, 30.2), (7, 9))
    assert shown.tolist() == [[17, 26, 24.5, 35.5]]
    assert torch.equal(patch, ramp(50, 60)[:, :, 17:24, 26:35])


def test_the_border_is_repeated_outside() -> None:
    patch, _ = sample_patch(ramp(20, 30), (0, 29), (9, 9))
    assert patch[0, 0, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert patch[0, 1, 0].tolist() == [25, 26, 27, 28, 29, 29, 29, 29, 29]


def test_a_crop_wholly_outside_shows_the_border() -> None:
    patch, shown = sample_patch(ramp(20, 30), (-100, 200), (8, 8), (4, 4))
    assert (patch[0, 0] == 0).all() and (patch[0, 1] == 29).all()
    assert shown[0, 3] < 0 or shown[0, 1] > 30


def test_a_picture_narrower_than_the_thinning_shows_its_last_column() -> None:
    image = torch.arange(400.0)[None, None, :, None].expand(1, 1, 400, 2)
    patch, shown = sample_patch(image, (203.0, 3.0), (1000.0, 1000.0), (256, 256))
    assert patch.shape == (1, 1, 256, 256) and torch.isfinite(shown).all()
    assert patch[0, 0, 128, 0] == pytest.approx(203, abs=4) and (patch == patch[..., :1]).all()


def test_downsampling_takes_every_third_pixel_through_the_centre() -> None:
    patch, shown = sample_patch(ramp(200, 200), (100, 101), (33, 33), (10, 10))
    # 33/10 - 0.1 -> every third pixel, 11 of them, resized to 10: the middle one is the centre's own.
    whole, _ = sample_patch(ramp(200, 200)[:, :, 1::3, 2::3], (33, 33), (11, 11), (10, 10))
    torch.testing.assert_close(patch, whole * 1.0)
    assert shown.tolist() == [[84, 84, 118.5, 118.5]]


def test_sizes_round_half_to_even_and_have_at_least_two_pixels() -> None:
    for side, pixels in ((4.5, 4), (5.5, 6), (0.3, 2)):
        _, shown = sample_patch(ramp(40, 40), (20, 20), (side, side))
        assert float(shown[0, 2] - shown[0, 0]) == pixels + 0.5


def test_inside_modes_limit_how_much_they_shrink() -> None:
    image = ramp(100, 200)
    _, free = sample_patch(image, (50, 100), (300, 300), None, "inside")
    _, limited = sample_patch(image, (50, 100), (300, 300), None, "inside", max_scale_change=1.5)
    _, major = sample_patch(image, (50, 100), (300, 300), None, "inside_major", max_scale_change=3)
    heights = [float(shown[0, 2] - shown[0, 0]) for shown in (free, limited, major)]
    assert heights == [100.5, 200.5, 200.5]


@given(
    st.tuples(st.floats(0, 99), st.floats(0, 149)),
    st.floats(4, 400),
    st.sampled_from(["inside", "inside_major"]),
)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_inside_modes_keep_the_crop_in_the_image(position: tuple[float, float], side: float, mode: str) -> None:
    patch, shown = sample_patch(ramp(100, 150), position, (side, side), (32, 32), mode)
    top, left, bottom, right = shown[0].tolist()
    assert patch.shape == (1, 2, 32, 32)
    # Half pixels of the rule, magnified by the downsampling, may hang over.
    factor = max(1, int(min(side, 150) / 32 - 0.1))
    overhang = [max(-top, 0) + max(bottom - 100, 0), max(-left, 0) + max(right - 150, 0)]
    assert min(overhang) <= 2 * factor
    if mode == "inside":
        assert max(overhang) <= 2 * factor


@given(st.tuples(st.floats(-50, 150), st.floats(-50, 200)), st.floats(1, 300), st.floats(0, 255, width=32))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_constant_image_gives_a_constant_patch(position: tuple[float, float], side: float, grey: float) -> None:
    patch, _ = sample_patch(torch.full((1, 3, 100, 150), grey), position, (side, side), (24, 24))
    torch.testing.assert_close(patch, torch.full((1, 3, 24, 24), grey))


def test_positions_and_sizes_may_be_arrays_or_tensors() -> None:
    image = ramp(50, 60)
    expected, _ = sample_patch(image, (20.0, 30.0), (10.0, 12.0), (5, 6))
    for make in (np.array, torch.tensor):
        patch, _ = sample_patch(image, make([20.0, 30.0]), make([10.0, 12.0]), (5, 6))
        assert torch.equal(patch, expected)


def test_bad_arguments_are_refused() -> None:
    image = ramp(20, 20)
    with pytest.raises(ValueError, match="border_mode must be one of replicate, inside, inside_major, not 'mirror'"):
        sample_patch(image, (5, 5), (4, 4), None, "mirror")
    with pytest.raises(ValueError, match=r"\[1, C, H, W\]"):
        sample_patch(image[0], (5, 5), (4, 4))
    for position, size in (((float("nan"), 5), (4, 4)), ((5, 5), (0, 4)), ((5, 5), (float("inf"), 4))):
        with pytest.raises(ValueError, match="finite centre and a positive size"):
            sample_patch(image, position, size)
