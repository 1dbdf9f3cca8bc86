"""The compact network with its box head trained by IoU regression, which the energy objectives replace."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.dimp import dimp_nceplus_lite
from ltr.train_settings.recipe import BoxSettings, Recipe, Refinement


def recipe() -> Recipe:
    """The recipe."""
    return replace(
        dimp_nceplus_lite.recipe(),
        name="dimp_iou_lite",
        box=BoxSettings("iou", weight=1.0),
        # DiMP-50's, not chosen for this network.
        refinement=Refinement(steps=5, step_length=1.0, space="absolute"),
    )
