"""Recipes of ATOM, whose network is a box head on a frozen backbone: `atom`, and with an energy head."""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import dimp50
from ltr.train_settings.recipe import BoxSettings, OptimiserSettings, Recipe, Refinement


def atom() -> Recipe:
    """ATOM (Danelljan et al., CVPR 2019): IoU regression on a frozen ResNet-18.

    Source: docs/reference.md, section 3, last column.

    Pairs of one train and one test frame, as in the paper (section 3.1); no other number is published for ATOM.
    """
    base = dimp50.recipe()
    return replace(
        base,
        name="atom",
        network=NetworkConstructor("atom_resnet18", {"backbone_pretrained": True}),
        data=replace(base.data, samples_per_epoch=64000, max_gap=50, train_frames=1, test_frames=1),
        crop=replace(base.crop, centre_jitter_train=0.0, scale_jitter_train=0.0),
        box=BoxSettings("iou", {"num_proposals": 16}, weight=1.0),
        classifier=None,
        optimiser=OptimiserSettings({"bb_regressor": 1e-3}),
        batch_size=64,
    )


def atom_kldis() -> Recipe:
    """ATOM with an energy head, trained by KLD-IS."""
    return _energy("kldis")


def atom_mlis() -> Recipe:
    """ATOM with an energy head, trained by ML-IS: maximum likelihood by importance sampling."""
    return _energy("mlis")


def atom_nceplus() -> Recipe:
    """ATOM with an energy head, trained by NCE+."""
    return _energy("nceplus")


def _energy(objective: str) -> Recipe:
    box = BoxSettings(objective, weight=1.0)
    return replace(atom(), name=f"atom_{objective}", box=box, refinement=Refinement())
