"""The parameters of the DiMP tracker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ltr.admin.inputs import Ranges
from pytracking.tracker.shared.settings import TrackerParameters, check_choices


@dataclass(frozen=True)
class DiMPParameters(TrackerParameters):
    """Every parameter of the DiMP tracker: those of `TrackerParameters` and how its filter is optimised.

    Attributes:
        net_opt_iter, net_opt_update_iter, net_opt_hn_iter: optimiser iterations on the first frame, in an update every
            `train_skipping` frames, and on a hard negative.
        score_preprocess: 'none', or 'softmax' over the score map (PrDiMP).

    Raises:
        UserError: a value that is not one of its choices or out of its range.
    """

    RANGES: ClassVar[Ranges] = {
        **TrackerParameters.RANGES,
        **dict.fromkeys(("net_opt_iter", "net_opt_update_iter", "net_opt_hn_iter"), (0, 10_000)),
    }

    net_opt_iter: int = 10
    net_opt_update_iter: int = 2
    net_opt_hn_iter: int = 1
    score_preprocess: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"score_preprocess": ("none", "softmax")})
