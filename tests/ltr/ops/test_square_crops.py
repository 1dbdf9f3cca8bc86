"""OSTrack's crops against the numbers of its public code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import load_golden

from ltr.errors import UserError
from ltr.models.tracking.ostrack import ostrack
from ltr.ops.square_crops import box_in_crop, outside_mask, square_crop

GOLDEN = load_golden("ostrack_crops")
FRAMES = load_golden("online_tracking")["frames"]


@pytest.mark.parametrize("case", range(len(GOLDEN["frame"])))
def test_crops_are_exact(case: int) -> None:
    image = FRAMES[GOLDEN["frame"][case]]
    size = int(GOLDEN["size"][case])
    crop = square_crop(image, GOLDEN["box"][case], float(GOLDEN["factor"][case]), size)
    assert np.array_equal(crop.patch, GOLDEN[f"crop{case}"])
    assert crop.scale == GOLDEN["resize_factor"][case]
    assert crop.side == GOLDEN["crop_side"][case]
    wanted = np.unpackbits(GOLDEN[f"outside{case}"])[: size * size].reshape(size, size).astype(bool)
    assert np.array_equal(outside_mask(image.shape, crop), wanted)


def test_labels_equal_the_reference() -> None:
    for row in range(len(GOLDEN["label_gt"])):
        found = box_in_crop(
            GOLDEN["label_gt"][row].astype(np.float64),
            GOLDEN["label_extract"][row].astype(np.float64),
            float(GOLDEN["label_resize_factor"][row]),
            int(GOLDEN["label_size"][row]),
        )
        assert found == pytest.approx(GOLDEN["label_out"][row], abs=2e-6)


def test_images_are_normalised_as_in_the_reference() -> None:
    net = ostrack(width=8, depth=1, heads=1, head_channels=8, elimination_blocks=())
    patch = torch.from_numpy(GOLDEN["crop5"]).permute(2, 0, 1)[None]
    assert torch.allclose(net.normalise(patch)[0, :, :8, :8], torch.from_numpy(GOLDEN["preprocessed5"]), atol=1e-6)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-900, 0, 20, 20), (0, 5000, 20, 20)])
def test_boxes_without_a_crop_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(UserError):
        square_crop(FRAMES[0], box, 2.0, 64)
