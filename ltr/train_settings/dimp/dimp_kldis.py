"""DiMP-KLD-IS of the paper: SuperDiMP under the paper's name."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.dimp import super_dimp
from ltr.train_settings.recipe import BoxSettings, Recipe


def recipe() -> Recipe:
    """The recipe."""
    return replace(super_dimp.recipe(), name="dimp_kldis", box=BoxSettings("kldis", weight=0.01))
