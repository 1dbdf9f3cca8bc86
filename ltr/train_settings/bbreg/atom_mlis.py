"""ATOM with an energy head, trained by ML-IS: maximum likelihood by importance sampling."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.bbreg import atom
from ltr.train_settings.recipe import BoxSettings, Recipe, Refinement


def recipe() -> Recipe:
    """The recipe."""
    return replace(atom.recipe(), name="atom_mlis", box=BoxSettings("mlis", weight=1.0), refinement=Refinement())
