"""Box operations: golden relative parametrisation, closed forms of IoU, invariants."""

from __future__ import annotations

import pytest
import torch
from golden import load_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltr.ops.boxes import centres, from_relative, iou, to_relative, xywh_to_xyxy, xyxy_to_xywh

GOLDEN = {name: torch.from_numpy(array) for name, array in load_golden("boxes").items()}
PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)


def box_strategy(low: float = -100, high: float = 100, largest: float = 80) -> st.SearchStrategy[Tensor]:
    corner = st.floats(low, high, width=32)
    side = st.floats(0.5, largest, width=32)
    return st.tuples(corner, corner, side, side).map(lambda box: torch.tensor(box, dtype=torch.float64))


def test_relative_space_equals_golden() -> None:
    proposals = GOLDEN["proposals"]
    fixed = to_relative(proposals, GOLDEN["mean_box"][..., 2:])
    torch.testing.assert_close(fixed, GOLDEN["rel"], rtol=2e-5, atol=2e-5)
    own = to_relative(proposals, proposals[..., 2:])
    torch.testing.assert_close(own, GOLDEN["rel_self"], rtol=2e-5, atol=2e-5)


@given(box_strategy(), box_strategy(1, 50))
@PROPERTY
def test_relative_space_and_back(box: Tensor, reference: Tensor) -> None:
    size = reference[2:]
    torch.testing.assert_close(from_relative(to_relative(box, size), size), box, rtol=1e-10, atol=1e-10)


def test_relative_space_broadcasts_over_proposals() -> None:
    boxes = torch.rand(2, 5, 4) + 1
    sizes = torch.tensor([[[10.0, 20.0]], [[3.0, 4.0]]])
    together = to_relative(boxes, sizes)
    torch.testing.assert_close(together[1, 3], to_relative(boxes[1, 3], sizes[1, 0]))
    torch.testing.assert_close(from_relative(together, sizes), boxes)
    many_sizes = to_relative(boxes[0, 0], sizes[:, 0])
    assert many_sizes.shape == (2, 4)
    assert from_relative(many_sizes[0], sizes[:, 0]).shape == (2, 4)


@given(box_strategy())
@PROPERTY
def test_corners_and_back(box: Tensor) -> None:
    corners = xywh_to_xyxy(box)
    torch.testing.assert_close(corners[2:] - corners[:2], box[2:])
    torch.testing.assert_close(xyxy_to_xywh(corners), box)
    torch.testing.assert_close(centres(box), (corners[:2] + corners[2:]) / 2)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (1, 1, 2, 2), 1 / 7),
        ((0, 0, 2, 2), (0, 0, 2, 2), 1),
        ((0, 0, 2, 2), (2, 0, 2, 2), 0),
        ((0, 0, 4, 4), (1, 1, 2, 2), 1 / 4),
        ((5, 5, 0, 0), (5, 5, 0, 0), 0),
        ((0, 0, -3, 2), (-3, 0, 3, 2), 0),
        ((0, 0, -3, -2), (0, 0, 3, 2), 0),
    ],
)
def test_iou_closed_forms(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)) == pytest.approx(expected)


def test_iou_of_nan_is_nan() -> None:
    assert iou(torch.tensor([float("nan"), 0, 1, 1]), torch.tensor([0.0, 0, 1, 1])).isnan()


@given(box_strategy(), box_strategy(), box_strategy(-20, 20), st.floats(0.1, 10))
@PROPERTY
def test_iou_is_symmetric_and_invariant(a: Tensor, b: Tensor, shift: Tensor, scale: float) -> None:
    overlap = iou(a, b)
    assert 0 <= overlap <= 1
    torch.testing.assert_close(iou(b, a), overlap)
    torch.testing.assert_close(iou(a, a), torch.ones((), dtype=torch.float64))
    moved = torch.cat((shift[:2], torch.zeros(2, dtype=torch.float64)))
    torch.testing.assert_close(iou((a + moved) * scale, (b + moved) * scale), overlap, rtol=1e-9, atol=1e-9)


def test_iou_broadcasts() -> None:
    a, b = torch.rand(4, 3, 4), torch.rand(4, 1, 4)
    torch.testing.assert_close(iou(a, b)[2, 1], iou(a[2, 1], b[2, 0]))


def test_float32_iou_never_exceeds_one() -> None:
    boxes = torch.rand(10000, 4, generator=torch.Generator().manual_seed(0)) * 1000 + 0.1
    assert iou(boxes, boxes).max() <= 1
