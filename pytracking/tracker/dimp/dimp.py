"""The DiMP tracker: its target model is a filter, initialised and optimised by the network (Bhat et al., ICCV 2019)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ltr.models.tracking.dimpnet import DiMPNet
from ltr.models.tracking.extraction import CLASSIFICATION
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.online_targets import OnlineTargets
from pytracking.tracker.shared.online_tracker import OnlineTracker
from pytracking.tracker.shared.rows import Rows, Slots


class DiMPTargets(OnlineTargets[DiMPNet, DiMPParameters]):
    """Tracks targets with a discriminative filter for each; see `OnlineTargets`."""

    def __init__(self, params: DiMPParameters, network: DiMPNet, graphs: Path | None = None) -> None:
        super().__init__(params, network, network.classifier.filter_size, graphs)
        self.filters = Rows()

    def _classification_features(self, features: dict[str, Tensor]) -> Tensor:
        return features[CLASSIFICATION]

    def _learn_first(self, slot: int, features: Tensor, boxes: Tensor, generator: torch.Generator | None) -> None:
        classifier = self.net.classifier
        initial = classifier.filter_initializer(features[:, None], boxes[:, None])
        filters, _ = classifier.filter_optimizer(
            initial, features[:, None], boxes[:, None], num_iter=self.params.net_opt_iter
        )
        self.filters.put(slot, filters[0])

    def _score_maps(self, slots: Slots, features: Tensor) -> Tensor:
        scores = self.net.classifier.classify(self.filters[slots], features[None])[0]
        if self.params.score_preprocess == "softmax":
            scores = scores.flatten(1).softmax(dim=1).view_as(scores)
        return scores

    def _update_model(self, slots: Slots, hard_negative: bool) -> None:
        iterations = self.params.net_opt_hn_iter if hard_negative else self.params.net_opt_update_iter
        if iterations > 0:
            samples, boxes, weights = (stored.transpose(0, 1).contiguous() for stored in self.memory.stored(slots))
            filters, _ = self.net.classifier.filter_optimizer(
                self.filters[slots], samples, boxes, sample_weight=weights, num_iter=iterations
            )
            self.filters.set(slots, filters)


class DiMP(OnlineTracker[DiMPTargets]):
    """Tracks one target with a discriminative filter; see `OnlineTracker`."""

    def __init__(self, params: DiMPParameters, network: DiMPNet) -> None:
        super().__init__(DiMPTargets(params, network))
