"""Precise RoI Pooling: golden numbers, the integral's properties, gradients, and small bins in float32."""

from __future__ import annotations

import pytest
import torch
from golden import load_golden

from ltr.ops.prroi_pool import prroi_pool

GOLDEN = load_golden("prroi_pool")


@pytest.mark.parametrize("bins", [1, 3, 4, 5])
def test_equals_golden(bins: int) -> None:
    features = torch.from_numpy(GOLDEN["feat"]).requires_grad_()
    rois = torch.from_numpy(GOLDEN["rois"]).requires_grad_()
    pooled = prroi_pool(features, rois, bins, float(GOLDEN["spatial_scale"]))
    pooled.backward(torch.from_numpy(GOLDEN[f"upstream_{bins}x{bins}"]))
    for name, value in (("out", pooled), ("grad_feat", features.grad), ("grad_rois", rois.grad)):
        expected = torch.from_numpy(GOLDEN[f"{name}_{bins}x{bins}"])
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)
