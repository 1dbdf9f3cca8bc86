"""Recipes of the DiMP trackers: their bases are a file each, and what differs from a base by little stands here."""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import dimp50, dimp_nceplus_lite, prdimp50, super_dimp
from ltr.train_settings.recipe import BoxSettings, Recipe, Refinement


def dimp18() -> Recipe:
    """DiMP-18: DiMP-50 on a ResNet-18, whose smaller network leaves room for a larger batch."""
    return _on_resnet18(dimp50.recipe(), "dimp18", "dimpnet18")


def prdimp18() -> Recipe:
    """PrDiMP-18: PrDiMP-50 on a ResNet-18."""
    return replace(_on_resnet18(prdimp50.recipe(), "prdimp18", "klcedimpnet18"), tracked_with={})


def _on_resnet18(base: Recipe, name: str, network: str) -> Recipe:
    arguments = {**base.network.arguments, "out_feature_dim": 256}
    return replace(base, name=name, network=NetworkConstructor(network, arguments), batch_size=26)


def dimp_kldis() -> Recipe:
    """DiMP-KLD-IS of the paper: SuperDiMP under the paper's name."""
    return replace(super_dimp.recipe(), name="dimp_kldis", box=BoxSettings("kldis", weight=0.01))


def dimp_nce() -> Recipe:
    """DiMP-NCE: SuperDiMP with the box head trained by noise contrastive estimation."""
    return replace(super_dimp.recipe(), name="dimp_nce", box=BoxSettings("nce", weight=0.01))


def dimp_nceplus() -> Recipe:
    """DiMP-NCE+: SuperDiMP with the box head trained by NCE+, the paper's method."""
    return replace(super_dimp.recipe(), name="dimp_nceplus", box=BoxSettings("nceplus", weight=0.01))


def dimp_nce_lite() -> Recipe:
    """The compact network with its box head trained by NCE; climbed as NCE+'s, a step that was not chosen for it."""
    return replace(dimp_nceplus_lite.recipe(), name="dimp_nce_lite", box=BoxSettings("nce", weight=1.0))


def dimp_kldis_lite() -> Recipe:
    """The compact network with its box head trained by KLD-IS; climbed as SuperDiMP's, which was not chosen for it."""
    box = BoxSettings("kldis", weight=1.0)
    return replace(dimp_nceplus_lite.recipe(), name="dimp_kldis_lite", box=box, refinement=Refinement())


def dimp_iou_lite() -> Recipe:
    """The compact network with its box head trained by IoU regression, which the energy objectives replace.

    It is climbed as DiMP-50's, which was not chosen for it.
    """
    box = BoxSettings("iou", weight=1.0)
    refinement = Refinement(steps=5, step_length=1.0, space="absolute")
    return replace(dimp_nceplus_lite.recipe(), name="dimp_iou_lite", box=box, refinement=refinement)
