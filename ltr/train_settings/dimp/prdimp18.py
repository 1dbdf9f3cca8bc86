"""PrDiMP-18: PrDiMP-50 on a ResNet-18."""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import prdimp50
from ltr.train_settings.recipe import Recipe


def recipe() -> Recipe:
    """The recipe."""
    base = prdimp50.recipe()
    arguments = {**base.network.arguments, "out_feature_dim": 256}
    network = NetworkConstructor("klcedimpnet18", arguments)
    return replace(base, name="prdimp18", network=network, batch_size=26, tracked_with={})
