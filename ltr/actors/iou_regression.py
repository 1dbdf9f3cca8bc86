"""IoU regression, which the energy-based objectives replace, as one more training method of the same box head.

It learns from random boxes that overlap the annotation by a minimum. `ltr.ebm` knows nothing of boxes, so it is
registered here.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.ebm.methods import METHODS, Energy, Method, MethodOutput
from ltr.errors import UserError
from ltr.ops.boxes import centres, from_relative, iou, to_relative

_ATTEMPTS = 8
_HALVINGS = 8


@dataclass(frozen=True)
class IoURegression:
    """Mean squared error of the scores to the IoU with the annotation, mapped to [-1, 1] (ATOM, section 3.1).

    Attributes:
        num_proposals: M.
        proposal_sigmas: standard deviations of the proposals' noise, in parts of the square root of the
            annotation's area.
        min_iou: the least overlap of a proposal with the annotation.
    """

    num_proposals: int = 8
    proposal_sigmas: Sequence[float] = (0.01, 0.05, 0.1, 0.2, 0.3)
    min_iou: float = 0.1

    def __post_init__(self) -> None:
        if self.num_proposals < 1:
            raise UserError(f"num_proposals must be at least 1, not {self.num_proposals}")
        if not self.proposal_sigmas or not all(sigma > 0 for sigma in self.proposal_sigmas):
            raise UserError(f"proposal_sigmas must be positive, not {self.proposal_sigmas}")
        if not 0 < self.min_iou < 1:
            raise UserError(f"min_iou must lie between 0 and 1, not {self.min_iou}")

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `ltr.ebm.methods.Method`; points are [cx / sw, cy / sh, log w, log h], (sw, sh) the annotated size."""
        # The unit of the space is the annotation's own size, so its relative form is all of the box.
        size = annotation[:, 2:].exp()
        proposals, overlaps = sample_proposals(
            from_relative(annotation, size),
            self.num_proposals,
            sigmas=self.proposal_sigmas,
            min_iou=self.min_iou,
            generator=generator,
        )
        scores = energy(to_relative(proposals, size.unsqueeze(1)))
        loss = (scores - (2 * overlaps - 1)).square().mean(-1)
        error = (scores.detach() - (2 * overlaps - 1)).abs().mean() / 2
        return MethodOutput(loss, {"iou_error": error, "proposal_iou": overlaps.mean()})


# What a recipe may name as the box head's objective. A method that is added to METHODS is found here too.
BOX_METHODS: ChainMap[str, type[Method]] = ChainMap({"iou": IoURegression}, METHODS)


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
