"""The DiMP tracker: its target model is a filter, initialised and optimised by the network (Bhat et al., ICCV 2019)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ltr.models.tracking.dimpnet import DiMPNet
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.localisation import softmax_map
from pytracking.tracker.shared.online_tracker import OnlineTracker


class DiMP(OnlineTracker[DiMPNet, DiMPParameters]):
    """Tracks one target with a discriminative filter; see `OnlineTracker`."""

    _filter: Tensor

    def __init__(self, params: DiMPParameters, network: DiMPNet) -> None:
        super().__init__(params, network, network.classifier.filter_size)

    def _classification_features(self, backbone: dict[str, Tensor]) -> Tensor:
        return self._net.extract_classification_feat(backbone)

    def _learn_first(self, features: Tensor, boxes: Tensor) -> None:
        classifier = self._net.classifier
        initial = classifier.filter_initializer(features[:, None], boxes[:, None])
        self._filter, _ = classifier.filter_optimizer(
            initial, features[:, None], boxes[:, None], num_iter=self.params.net_opt_iter
        )

    def _score_map(self, features: Tensor) -> np.ndarray:
        scores = self._net.classifier.classify(self._filter, features[:, None])[0, 0].cpu().numpy()
        return softmax_map(scores) if self.params.score_preprocess == "softmax" else scores

    def _update_model(self, hard_negative: bool) -> None:
        iterations = self.params.net_opt_hn_iter if hard_negative else self.params.net_opt_update_iter
        if iterations > 0:
            samples, boxes, weights = self.memory.stored
            self._filter, _ = self._net.classifier.filter_optimizer(
                self._filter, samples[:, None], boxes[:, None], sample_weight=weights[:, None], num_iter=iterations
            )
