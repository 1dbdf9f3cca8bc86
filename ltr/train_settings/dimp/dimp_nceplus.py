"""DiMP-NCE+: SuperDiMP with the box head trained by NCE+, the paper's method."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.dimp import super_dimp
from ltr.train_settings.recipe import BoxSettings, Recipe


def recipe() -> Recipe:
    """The recipe."""
    return replace(super_dimp.recipe(), name="dimp_nceplus", box=BoxSettings("nceplus", weight=0.01))
