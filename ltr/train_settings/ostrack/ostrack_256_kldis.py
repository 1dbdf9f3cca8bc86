"""An energy on the tokens of OSTrack-256, trained by KLD-IS while the tracker is frozen; see `ostrack_256_nceplus`."""

from __future__ import annotations

from dataclasses import replace

from ltr.train_settings.ostrack import ostrack_256_nceplus
from ltr.train_settings.recipe import BoxSettings, Recipe


def recipe() -> Recipe:
    """The recipe."""
    return replace(ostrack_256_nceplus.recipe(), name="ostrack_256_kldis", box=BoxSettings("kldis", weight=1.0))
