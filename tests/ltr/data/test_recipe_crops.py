"""Every column of the training table (docs/reference.md, section 3) fits in crop settings, and does what it says."""

from __future__ import annotations

import numpy as np
import pytest

from ltr.data.processing import CropProcessing, CropSettings

# Search area, feature size, centre jitter train/test, scale jitter train/test, border.
COLUMNS = {
    "dimp": (5, 18, 3, 4.5, 0.25, 0.5, "replicate"),
    "prdimp": (5, 18, 3, 4.5, 0.25, 0.5, "replicate"),
    "super_dimp": (6, 22, 3, 5.5, 0.25, 0.5, "inside_major"),
    "atom": (5, 18, 0, 4.5, 0, 0.5, "replicate"),
}
BOX = np.array((300.0, 200.0, 40.0, 30.0))


def samples(column, count=150):
    """Train and test boxes of many samples, in crop pixels, [n, 4] each."""
    area, cells, *rest = COLUMNS[column]
    crops = CropProcessing(CropSettings(16 * cells, area, *rest))
    frame = np.zeros((480, 640, 3), np.uint8)
    drawn = [crops(([frame], BOX[None]), ([frame], BOX[None]), np.random.default_rng(k)) for k in range(count)]
    return [np.concatenate([sample[f"{part}_boxes"].numpy() for sample in drawn]) for part in ("train", "test")]


@pytest.mark.parametrize("column", COLUMNS)
def test_regions_have_the_size_and_spread_of_the_table(column):
    area, cells, centre_train, centre_test, scale_train, scale_test, _ = COLUMNS[column]
    size = 16 * cells
    for boxes, centre, scale in zip(samples(column), (centre_train, centre_test), (scale_train, scale_test)):
        # Relative to the crop: sqrt(area of the box) is size / area over the geometric mean of two jittered sides.
        logs = np.log(np.sqrt(boxes[:, 2:].prod(axis=1)) * area / size)
        assert logs.mean() == pytest.approx(0, abs=0.1) and logs.std() == pytest.approx(scale / np.sqrt(2), abs=0.06)
        away = (boxes[:, :2] + boxes[:, 2:] / 2 - size / 2) / (size / area)
        if column != "super_dimp":
            assert abs(away).max() <= centre / 2 + 1e-4 and abs(away).max() >= 0.9 * centre / 2 - 1e-4


def test_atoms_train_crops_are_exactly_centred():
    boxes, _ = samples("atom", count=20)
    assert np.ptp(boxes, axis=0).max() == 0
    assert boxes[0, :2] + boxes[0, 2:] / 2 == pytest.approx((144, 144))
    assert np.sqrt(boxes[0, 2] * boxes[0, 3]) == pytest.approx(288 / 5)
