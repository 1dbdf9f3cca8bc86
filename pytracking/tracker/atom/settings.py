"""The parameters of the ATOM tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

from ltr.errors import UserError
from pytracking.features.augmentation import Augmentation
from pytracking.tracker.atom.classifier import ClassifierParameters
from pytracking.tracker.shared.settings import TrackerParameters, check_at_least, check_choices, check_positive


def _augmentation() -> Augmentation:
    return Augmentation(
        blur=((2.0, 0.2), (0.2, 2.0), (3.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
        rotate=(5.0, -5.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0, 45.0, -45.0, 60.0, -60.0),
        dropout=(7, 0.2),
    )


@dataclass(frozen=True)
class ATOMParameters(TrackerParameters, ClassifierParameters):
    """Every parameter of the ATOM tracker; the values named here are those that differ from `TrackerParameters`.

    Defaults are those of the public `atom/default` (docs/reference.md, section 4).

    Raises:
        UserError: a value that is not one of its choices or out of its range.
    """

    net_name: str = "atom_default"

    image_sample_size: int = 288
    search_area_scale: float = 5.0
    border_mode: str = "replicate"

    sample_memory_size: int = 250
    train_skipping: int = 10

    box_refinement_space: str = "absolute"
    box_refinement_iter: int = 5
    box_refinement_step_length: float | tuple[float, float] = 1.0

    augmentation: Augmentation = field(default_factory=_augmentation)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"response_activation": ("mlu", "none")})
        check_at_least(self, ("compressed_dim", "kernel_size", "init_GN_iter"), 1)
        check_at_least(self, ("init_CG_iter", "CG_iter", "hard_negative_CG_iter"), 0)
        check_positive(self, ("output_sigma_factor", "mlu_min_value", "filter_reg", "projection_reg"))
        if self.init_CG_iter % self.init_GN_iter:
            raise UserError(
                f"parameter init_CG_iter ({self.init_CG_iter}) must be a multiple of init_GN_iter ({self.init_GN_iter})"
            )
