"""Gaussian labels: golden maps, batches, odd filters."""

from __future__ import annotations

import math

import pytest
import torch
from golden import load_golden

from ltr.ops.labels import gaussian_label

GOLDEN = {name: torch.from_numpy(array) for name, array in load_golden("boxes").items()}


def test_label_equals_golden() -> None:
    label = gaussian_label(GOLDEN["label_boxes"], image_size=352, feature_size=22, filter_size=4, sigma_factor=1 / 24)
    torch.testing.assert_close(label.float(), GOLDEN["label_352_22_4_sigma1_24"], rtol=2e-5, atol=2e-7)


def test_density_equals_golden() -> None:
    label = gaussian_label(GOLDEN["label_boxes"], image_size=288, feature_size=18, filter_size=4, sigma_factor=1 / 20)
    density = label / (2 * math.pi * (18 / 20) ** 2)
    torch.testing.assert_close(density.float(), GOLDEN["label_density_288_18_4_sigma1_20"], rtol=2e-5, atol=2e-7)


def test_peak_lies_at_the_centre() -> None:
    box = torch.tensor([16 * 5 - 10.0, 16 * 3 - 20.0, 20.0, 40.0])
    even = gaussian_label(box, image_size=288, feature_size=18, filter_size=4, sigma_factor=0.05)
    assert even.shape == (19, 19)
    assert even[3, 5] == 1 and even.sum() > 1
    odd = gaussian_label(
        box + torch.tensor([8.0, 8, 0, 0]), image_size=288, feature_size=18, filter_size=3, sigma_factor=0.05
    )
    assert odd.shape == (18, 18)
    assert odd[3, 5] == 1


def test_batches_equal_single_boxes() -> None:
    boxes = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(0)) * 100 + 20
    settings = {"image_size": 352, "feature_size": 22, "filter_size": 4, "sigma_factor": 1 / 24}
    maps = gaussian_label(boxes, **settings)  # type: ignore[arg-type]
    assert maps.shape == (3, 2, 23, 23)
    assert torch.equal(maps[2, 1], gaussian_label(boxes[2, 1], **settings))  # type: ignore[arg-type]


def test_a_density_away_from_the_border_sums_to_one() -> None:
    box = torch.tensor([140.0, 130.0, 30.0, 40.0], dtype=torch.float64)
    label = gaussian_label(box, image_size=288, feature_size=18, filter_size=4, sigma_factor=1 / 20)
    density = label / (2 * math.pi * (18 / 20) ** 2)
    assert density.sum() == pytest.approx(1, abs=1e-5)


def test_sigma_must_be_positive() -> None:
    with pytest.raises(ValueError, match="sigma_factor must be positive, not 0"):
        gaussian_label(torch.ones(4), image_size=288, feature_size=18, filter_size=4, sigma_factor=0)
