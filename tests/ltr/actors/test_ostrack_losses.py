"""OSTrack's losses against the numbers of its public code."""

from __future__ import annotations

import pytest
import torch
from golden import load_golden

from ltr.actors.ostrack_losses import focal_loss, gaussian_heat_map, generalised_iou, ostrack_losses
from ltr.models.tracking.ostrack import CentreMaps, decode

GOLDEN = {key: torch.from_numpy(value) for key, value in load_golden("ostrack_train").items()}


@pytest.mark.parametrize("size", [256, 384])
def test_losses_and_gradients_equal_the_reference(size: int) -> None:
    maps = CentreMaps(*(GOLDEN[f"{name}{size}"].clone().requires_grad_() for name in ("score", "size", "offset")))
    boxes = GOLDEN[f"gt{size}"]
    assert torch.equal(gaussian_heat_map(boxes, size // 16), GOLDEN[f"heatmap{size}"])
    assert torch.allclose(decode(maps)[:, None], GOLDEN[f"pred_boxes{size}"], atol=1e-7)
    loss, parts = ostrack_losses(maps, boxes)
    for name in ("giou", "l1", "focal"):
        assert parts[name].item() == pytest.approx(GOLDEN[f"{name}_loss{size}"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(GOLDEN[f"total{size}"].item(), rel=1e-5)
    assert parts["iou"].item() == pytest.approx(GOLDEN[f"iou{size}"].mean().item(), rel=1e-5)
    loss.backward()
    for name, tensor in zip(("score", "size", "offset"), maps):
        wanted = GOLDEN[f"grad_{name}{size}"]
        assert (tensor.grad - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_without_a_peak_the_focal_loss_is_the_negative_part() -> None:
    score = torch.full((1, 1, 4, 4), 0.5)
    outside = gaussian_heat_map(torch.tensor([[2.0, 2.0, 0.1, 0.1]]), 4)
    assert outside.sum() == 0
    assert focal_loss(score, outside).item() == pytest.approx(16 * 0.25 * torch.tensor(2.0).log().item())


def test_generalised_iou_of_boxes_apart_is_negative() -> None:
    overlap, giou = generalised_iou(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[2.0, 0.0, 3.0, 1.0]]))
    assert (overlap.item(), giou.item()) == (0.0, pytest.approx(-1 / 3))
