"""Recipes of ATOM, whose network is a box head on a frozen backbone: `atom`, and with an energy head."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.bbreg import atom
from ltr.train_settings.recipe import BoxSettings, Recipe, Refinement


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
    return replace(atom.recipe(), name=f"atom_{objective}", box=box, refinement=Refinement())
