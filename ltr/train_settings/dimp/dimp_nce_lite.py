"""The compact network with its box head trained by NCE; climbed as NCE+'s, a step that was not chosen for it."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.dimp import dimp_nceplus_lite
from ltr.train_settings.recipe import BoxSettings, Recipe


def recipe() -> Recipe:
    """The recipe."""
    return replace(dimp_nceplus_lite.recipe(), name="dimp_nce_lite", box=BoxSettings("nce", weight=1.0))
