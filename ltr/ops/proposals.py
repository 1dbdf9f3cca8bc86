"""Random boxes around annotations that overlap them by a minimum: what IoU regression is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ltr.ops.boxes import centres, iou

_ATTEMPTS = 8
_HALVINGS = 8


def sample_proposals(
    boxes: Tensor,
    count: int,
    *,
    sigmas: Sequence[float] = (0.01, 0.05, 0.1, 0.2, 0.3),
    min_iou: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Boxes with Gaussian noise on centre and size, and their IoU (docs/reference.md, section 3).

    Every proposal draws its own sigma; the noise of cx, cy, w and h is N(0, (sigma sqrt(w h))^2), independent. Noise is
    rejected while the IoU lies below `min_iou`. There are 8 attempts, drawn at once for the whole batch; a proposal
    that needs more, as those of a very elongated box may, takes the last attempt's noise, halved until the IoU
    suffices (and after 8 halvings the box itself).

    Args:
        boxes: [N, 4] (x, y, w, h), w and h > 0.
        count: M.
        sigmas: in parts of the square root of the box's area.
        min_iou: in (0, 1).
        generator: on the boxes' device.

    Returns:
        Proposals [N, M, 4] (x, y, w, h), and their IoU with the boxes [N, M].
    """
    device = boxes.device
    per_proposal = boxes.new_tensor(sigmas)[
        torch.randint(len(sigmas), (len(boxes), count), generator=generator, device=device)
    ]
    scale = per_proposal * boxes[:, 2:].prod(-1).sqrt().unsqueeze(1)
    shape = (len(boxes), count, _ATTEMPTS, 4)
    noise = torch.randn(shape, generator=generator, device=device, dtype=boxes.dtype) * scale[..., None, None]
    shrinking = boxes.new_tensor([0.5**k for k in range(1, _HALVINGS + 1)] + [0.0])
    noise = torch.cat((noise, noise[:, :, -1:] * shrinking[:, None]), dim=2)

    annotation = boxes[:, None, None]
    size = annotation[..., 2:] + noise[..., 2:]
    candidates = torch.cat((centres(annotation) + noise[..., :2] - size / 2, size), dim=-1)
    overlaps = iou(candidates, annotation)
    # A side that is not positive gives no overlap. argmax finds the first of equal values.
    first = (overlaps >= min_iou).int().argmax(dim=2, keepdim=True)
    chosen = candidates.gather(2, first.unsqueeze(-1).expand(-1, -1, -1, 4)).squeeze(2)
    return chosen, overlaps.gather(2, first).squeeze(2)
