"""The ATOM tracker: its target model is a two-layer classifier learned online (Danelljan et al., CVPR 2019)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ltr.models.bbreg.atom import AtomNet
from ltr.ops.labels import gaussian_label
from pytracking.tracker.atom.classifier import (
    compress,
    fit_filter,
    fit_layers,
    normalise_power,
    score_maps,
    start_layers,
)
from pytracking.tracker.atom.settings import ATOMParameters
from pytracking.tracker.shared.online_tracker import OnlineTracker

_CLASSIFICATION_LAYER = "layer3"


class ATOM(OnlineTracker[AtomNet, ATOMParameters]):
    """Tracks one target with a classifier learned online; see `OnlineTracker`."""

    _projection: Tensor
    _filter: Tensor

    def __init__(self, params: ATOMParameters, network: AtomNet) -> None:
        super().__init__(params, network, params.kernel_size)

    def _classification_features(self, backbone: dict[str, Tensor]) -> Tensor:
        return normalise_power(backbone[_CLASSIFICATION_LAYER])

    def _learn_first(self, features: Tensor, boxes: Tensor) -> None:
        projection, filters = start_layers(features.shape[1], self.params, self._generator)
        weights = features.new_full((len(features),), 1 / len(features))
        self._projection, self._filter = fit_layers(
            projection.to(features), filters.to(features), features, self._labels(boxes), weights, self.params
        )

    def _remembered(self, features: Tensor) -> Tensor:
        # The first layer stays as it is after the first frame.
        return compress(self._projection, features)

    def _score_map(self, features: Tensor) -> np.ndarray:
        return score_maps(self._filter, compress(self._projection, features))[0].cpu().numpy()

    def _update_model(self, hard_negative: bool) -> None:
        iterations = self.params.hard_negative_CG_iter if hard_negative else self.params.CG_iter
        samples, boxes, weights = self.memory.stored
        self._filter = fit_filter(self._filter, samples, self._labels(boxes), weights, self.params, iterations)

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
