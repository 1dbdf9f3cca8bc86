"""The compact network with its box head trained by KLD-IS."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.dimp import dimp_nceplus_lite
from ltr.train_settings.recipe import BoxSettings, Recipe, Refinement


def recipe() -> Recipe:
    """The recipe."""
    return replace(
        dimp_nceplus_lite.recipe(),
        name="dimp_kldis_lite",
        box=BoxSettings("kldis", weight=1.0),
        # SuperDiMP's, not chosen for this network.
        refinement=Refinement(),
    )
