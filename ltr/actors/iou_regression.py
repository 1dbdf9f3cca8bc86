"""IoU regression, which the energy-based objectives replace, as one more training method of the same box head.

It needs boxes, of which `ltr.ebm` knows nothing, so it is registered here.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.ebm.methods import METHODS, Energy, Method, MethodOutput
from ltr.errors import UserError
from ltr.ops.boxes import from_relative, to_relative
from ltr.ops.proposals import sample_proposals


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
