"""The ATOM tracker and its parameters; its target model is learned online (Danelljan et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ltr.admin.inputs import Ranges
from ltr.errors import UserError
from ltr.models.bbreg.atom import AtomNet
from ltr.models.target_classifier.filter import apply_filter
from ltr.ops.labels import gaussian_label
from pytracking.features.augmentation import Augmentation
from pytracking.tracker.atom.classifier import (
    ClassifierParameters,
    compress,
    fit_filter,
    fit_layers,
    normalise_power,
    start_layers,
)
from pytracking.tracker.shared.online_targets import OnlineTargets
from pytracking.tracker.shared.rows import Rows, Slots
from pytracking.tracker.shared.settings import TrackerParameters, check_choices


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

    RANGES: ClassVar[Ranges] = {
        **TrackerParameters.RANGES,
        "compressed_dim": (1, 4096),
        "kernel_size": (1, 64),
        "init_GN_iter": (1, 10_000),
        **dict.fromkeys(("init_CG_iter", "CG_iter", "hard_negative_CG_iter"), (0, 10_000)),
        **dict.fromkeys(("output_sigma_factor", "mlu_min_value"), (1e-6, 1e3)),
        **dict.fromkeys(("filter_reg", "projection_reg"), (1e-12, 1e12)),
    }

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
        if self.init_CG_iter % self.init_GN_iter:
            raise UserError(
                f"parameter init_CG_iter ({self.init_CG_iter}) must be a multiple of init_GN_iter ({self.init_GN_iter})"
            )


_CLASSIFICATION_LAYER = "layer3"


class ATOMTargets(OnlineTargets[AtomNet, ATOMParameters]):
    """Tracks targets with a classifier for each, learned online; see `OnlineTargets`."""

    def __init__(self, params: ATOMParameters, network: AtomNet, graphs: Path | None = None) -> None:
        super().__init__(params, network, params.kernel_size, graphs)
        self.projections, self.filters = Rows(), Rows()

    def _classification_features(self, features: dict[str, Tensor]) -> Tensor:
        return normalise_power(features[_CLASSIFICATION_LAYER])

    def _learn_first(self, slot: int, features: Tensor, boxes: Tensor, generator: torch.Generator | None) -> None:
        projection, filters = start_layers(features.shape[1], self.params, generator)
        weights = features.new_full((len(features),), 1 / len(features))
        projection, filters = fit_layers(
            projection.to(features), filters.to(features), features, self._labels(boxes), weights, self.params
        )
        self.projections.put(slot, projection)
        self.filters.put(slot, filters[0])

    def _remembered(self, slots: Slots, features: Tensor) -> Tensor:
        # The first layer stays as it is after the first frame.
        return compress(self.projections[slots], features)

    def _score_maps(self, slots: Slots, features: Tensor) -> Tensor:
        return apply_filter(compress(self.projections[slots], features)[None], self.filters[slots])[0]

    def _update_model(self, slots: Slots, hard_negative: bool) -> None:
        iterations = self.params.hard_negative_CG_iter if hard_negative else self.params.CG_iter
        for slot in slots.numbers:
            samples, boxes, weights = (stored[0] for stored in self.memory.stored(Slots([slot], self.device)))
            filters = self.filters.of(slot)[None]
            self.filters.put(
                slot, fit_filter(filters, samples, self._labels(boxes), weights, self.params, iterations)[0]
            )

    def _labels(self, boxes: Tensor) -> Tensor:
        """Gaussian labels [n, F', F'] of boxes [n, 4] in sample pixels."""
        params = self.params
        return gaussian_label(
            boxes,
            image_size=params.image_sample_size,
            feature_size=self._feature_size,
            filter_size=params.kernel_size,
            # The target's area is the sample's over the search area's scale squared, at the scale of the crop.
            sigma_factor=params.output_sigma_factor / params.search_area_scale,
        )
