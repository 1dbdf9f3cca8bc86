"""DiMP-18: DiMP-50 on a ResNet-18, whose smaller network leaves room for a larger batch."""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import dimp50
from ltr.train_settings.recipe import Recipe


def recipe() -> Recipe:
    """The recipe."""
    base = dimp50.recipe()
    arguments = {**base.network.arguments, "out_feature_dim": 256}
    return replace(base, name="dimp18", network=NetworkConstructor("dimpnet18", arguments), batch_size=26)
