"""Recipes of OSTrack: the tracker, and an energy on its tokens that is trained while the tracker is frozen.

The tracker's weights are given by `--set start=FILE`, best those trained without candidate elimination, such as the
public `vitb_256_mae_32x4_ep300`. Batch, rates and epochs are those of ATOM's head; none was tuned for tokens.
"""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.ostrack import ostrack_256
from ltr.train_settings.recipe import BoxSettings, OptimiserSettings, Recipe


def ostrack_256_nceplus() -> Recipe:
    """An energy on the tokens of OSTrack-256, trained by NCE+."""
    return _energy("nceplus")


def ostrack_256_nce() -> Recipe:
    """An energy on the tokens of OSTrack-256, trained by NCE."""
    return _energy("nce")


def ostrack_256_kldis() -> Recipe:
    """An energy on the tokens of OSTrack-256, trained by KLD-IS."""
    return _energy("kldis")


def _energy(objective: str) -> Recipe:
    return replace(
        ostrack_256.recipe(),
        name=f"ostrack_256_{objective}",
        network=NetworkConstructor("ostrack_energy", {"candidate_elimination": False}),
        box=BoxSettings(objective, weight=1.0),
        optimiser=OptimiserSettings({"bb_regressor": 1e-3}),
        epochs=50,
        batch_size=64,
        micro_batches=1,
        validation_interval=5,
        best_metric="iou/refined",
    )
