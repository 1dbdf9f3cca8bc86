"""The ATOM tracker: its target model is a two-layer classifier learned online (Danelljan et al., CVPR 2019)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ltr.models.bbreg.atom import AtomNet
from ltr.models.target_classifier.filter import apply_filter
from ltr.ops.labels import gaussian_label
from pytracking.tracker.atom.classifier import compress, fit_filter, fit_layers, normalise_power, start_layers
from pytracking.tracker.atom.settings import ATOMParameters
from pytracking.tracker.shared.online_targets import OnlineTargets
from pytracking.tracker.shared.rows import Rows, Slots

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
