from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden import load_golden
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.features.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    augment_first_frame,
    drop_feature_channels,
    expanded_size,
)


def only(**changes) -> Augmentation:
    return Augmentation(
        **{"relative_shift": (), "fliplr": False, "blur": (), "rotate": (), "dropout": (0, 0.0), **changes}
    )


def ramp(size: int) -> torch.Tensor:
    """A patch whose value tells the place: 1000 x row + column, in three channels."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (1000.0 * rows + columns).expand(1, 3, size, size)


def test_default_plan_is_that_of_the_public_parameter_files():
    samples, shifts = augment_first_frame(torch.rand(1, 3, 80, 80), 40, Augmentation())
    assert samples.shape == (13, 3, 40, 40)
    assert shifts[:5].tolist() == [[0, 0], [12, 12], [-12, 12], [12, -12], [-12, -12]]
    assert (shifts[5:] == 0).all()
    assert Augmentation().dropout == (2, 0.2)


def test_identity_is_the_patchs_centre():
    samples, _ = augment_first_frame(ramp(20), 10, NO_AUGMENTATION)
    assert torch.equal(samples, ramp(20)[..., 5:15, 5:15])


@given(rows=st.integers(-14, 14), columns=st.integers(-14, 14))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_shift_moves_the_content_and_repeats_the_border(rows, columns):
    patch = ramp(20)
    samples, shifts = augment_first_frame(patch, 10, only(relative_shift=((rows / 5, columns / 5),)))
    down, right = (int(shift) for shift in shifts[1])
    assert (abs(down - rows), abs(right - columns)) <= (1, 1)
    for row, column in ((0, 0), (4, 7), (9, 9)):
        source = min(max(row + 5 - down, 0), 19), min(max(column + 5 - right, 0), 19)
        assert samples[1, 0, row, column] == patch[0, 0, source[0], source[1]]


def test_flip_mirrors_columns():
    samples, _ = augment_first_frame(ramp(20), 10, only(fliplr=True))
    assert torch.equal(samples[1], samples[0].flip(-1))


@pytest.mark.parametrize("sigma", [(3.0, 1.0), (1.0, 3.0), (2.0, 2.0), (0.0, 1.0)])
def test_blur_is_a_normalised_separable_gaussian(sigma):
    patch = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 3, 48, 48)).astype(np.float32))
    samples, _ = augment_first_frame(patch, 24, only(blur=(sigma,)))
    expected = patch[0, 1].double().numpy()
    for axis, deviation in enumerate(sigma):
        if deviation > 0:
            offsets = np.arange(-math.ceil(2 * deviation), math.ceil(2 * deviation) + 1)
            kernel = np.exp(-0.5 * (offsets / deviation) ** 2)
            expected = np.apply_along_axis(np.convolve, axis, expected, kernel / kernel.sum(), mode="same")
    np.testing.assert_allclose(samples[1, 1].numpy(), expected[12:36, 12:36], rtol=1e-5)


def test_rotation_equals_opencv_4_to_the_last_bit():
    golden = load_golden("rotation_opencv4")
    patch = torch.from_numpy(golden["patch"]).permute(2, 0, 1)[None].float()
    samples, _ = augment_first_frame(patch, 40, only(rotate=tuple(golden["degrees"])))
    for index, sample in enumerate(samples[1:]):
        assert np.array_equal(sample.permute(1, 2, 0).numpy(), golden[f"rotated{index}"])


def test_cutting_a_rotated_sample_equals_cutting_after_rotation():
    patch = torch.rand(1, 3, 30, 30)
    whole, _ = augment_first_frame(patch, 30, only(rotate=(33.0,)))
    cut, _ = augment_first_frame(patch, 20, only(rotate=(33.0,)))
    assert torch.equal(cut[1], whole[1][:, 5:25, 5:25])


def test_random_shifts_move_flip_blur_and_rotation_only_and_are_bounded():
    generator = torch.Generator().manual_seed(3)
    _, shifts = augment_first_frame(torch.rand(1, 3, 120, 120), 60, Augmentation(), 1 / 3, generator)
    assert shifts[0].tolist() == [0, 0] and shifts[1].tolist() == [18, 18]
    assert shifts[5:].abs().max() <= 10
    assert len({tuple(shift) for shift in shifts[5:].tolist()}) > 4


def test_random_shifts_come_from_the_default_generator_without_one():
    torch.manual_seed(5)
    first = augment_first_frame(torch.rand(1, 3, 40, 40), 20, Augmentation(), 1.0)[1]
    torch.manual_seed(5)
    second = augment_first_frame(torch.rand(1, 3, 40, 40), 20, Augmentation(), 1.0)[1]
    assert torch.equal(first, second)


def test_dropout_drops_whole_channels_and_keeps_the_mean():
    features = torch.ones(1, 4000, 2, 2)
    dropped = drop_feature_channels(features, only(dropout=(2, 0.2)), torch.Generator().manual_seed(0))
    assert dropped.shape == (2, 4000, 2, 2)
    assert sorted(dropped.unique().tolist()) == [0.0, 1.25]
    assert (dropped == dropped[..., :1, :1]).all()
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert not torch.equal(dropped[0], dropped[1])


def test_no_dropout_appends_nothing():
    assert drop_feature_channels(torch.ones(1, 8, 3, 3), NO_AUGMENTATION).shape == (0, 8, 3, 3)


@pytest.mark.parametrize(
    ("size", "factor", "expected"), [(288, 2.0, 576), (255, 2.0, 511), (256, 1.0, 256), (25, 1.5, 37)]
)
def test_expanded_patch_keeps_the_parity_of_the_sample(size, factor, expected):
    assert expanded_size(size, factor) == expected
