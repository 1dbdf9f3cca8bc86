"""The filter's correlation against a plain convolution, and its adjoint."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ltr.models.target_classifier.filter import apply_filter, apply_filter_transpose


@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
def test_apply_filter_is_a_convolution_padded_by_half_the_kernel(kernel):
    torch.manual_seed(0)
    features = torch.randn(2, 3, 5, 7, 6, dtype=torch.float64)
    filters = torch.randn(3, 5, kernel, kernel, dtype=torch.float64)
    expected = torch.stack(
        [F.conv2d(features[:, s], filters[s : s + 1], padding=kernel // 2)[:, 0] for s in range(3)], dim=1
    )
    assert torch.allclose(apply_filter(features, filters), expected, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
def test_transpose_is_the_adjoint(kernel):
    torch.manual_seed(0)
    features = torch.randn(2, 3, 5, 7, 6, dtype=torch.float64)
    filters = torch.randn(3, 5, kernel, kernel, dtype=torch.float64)
    forward = apply_filter(features, filters)
    scores = torch.randn_like(forward)
    backward = apply_filter_transpose(features, scores, kernel)
    assert torch.allclose((forward * scores).sum(), (filters * backward).sum(), rtol=1e-12)
    assert torch.allclose((forward * scores).sum(dim=(0, 2, 3)), (filters * backward).sum(dim=(1, 2, 3)), rtol=1e-10)
