"""DiMP-NCE: SuperDiMP with the box head trained by noise contrastive estimation."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.dimp import super_dimp
from ltr.train_settings.recipe import BoxSettings, Recipe


def recipe() -> Recipe:
    """The recipe."""
    return replace(super_dimp.recipe(), name="dimp_nce", box=BoxSettings("nce", weight=0.01))
