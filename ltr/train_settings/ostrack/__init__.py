"""Recipes of OSTrack: the tracker, an energy on its tokens that is trained while the tracker is frozen, and a toy.

The tracker's weights are given by `--set start=FILE`, best those trained without candidate elimination, such as the
public `vitb_256_mae_32x4_ep300`. Batch, rates and epochs are those of ATOM's head; none was tuned for tokens.
"""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.ostrack import ostrack_256
from ltr.train_settings.recipe import BoxSettings, DataSource, OptimiserSettings, Recipe


def ostrack_256_got10k() -> Recipe:
    """OSTrack-256 for the protocol of GOT-10k, which allows no other videos in training."""
    base = ostrack_256.recipe()
    train, validation = (DataSource("got10k", "all"),), (DataSource("got10k", "official_val"),)
    return replace(
        base,
        name="ostrack_256_got10k",
        network=NetworkConstructor("ostrack", {**base.network.arguments, "elimination_warm_up": 50}),
        data=replace(base.data, train=train, validation=validation),
        optimiser=replace(base.optimiser, decay_epochs=80),
        epochs=100,
    )


def ostrack_256_nceplus() -> Recipe:
    """An energy on the tokens of OSTrack-256, trained by NCE+."""
    return _energy("nceplus")


def ostrack_256_nce() -> Recipe:
    """An energy on the tokens of OSTrack-256, trained by NCE."""
    return _energy("nce")


def ostrack_256_kldis() -> Recipe:
    """An energy on the tokens of OSTrack-256, trained by KLD-IS."""
    return _energy("kldis")


def ostrack_toy_nceplus() -> Recipe:
    """A small transformer and its energy, trained together from random weights on the data of the compact recipes.

    It shows on a CPU that the parts work together; it is no tracker to use.
    """
    base = ostrack_256.recipe()
    size = {"search_size": 128, "template_size": 64, "width": 96, "depth": 4, "heads": 4, "head_channels": 64}
    return replace(
        base,
        name="ostrack_toy_nceplus",
        network=NetworkConstructor("ostrack_energy", {**size, "drop_path": 0.0, "box_channels": 64}),
        data=replace(
            base.data,
            train=(DataSource("lite", "train"),),
            validation=(DataSource("lite", "val"),),
            samples_per_epoch=1600,
            validation_samples=160,
            least_frames=2,
            least_visible=2,
            least_still_side=0,
            max_gap=30,
            test_frames=3,
        ),
        crop=replace(base.crop, output_size=128, template_size=64),
        box=BoxSettings("nceplus", {"num_samples": 64}, weight=1.0),
        optimiser=OptimiserSettings(
            {"backbone": 1e-3, "box_head": 1e-3, "bb_regressor": 1e-3},
            schedule="cosine",
            warmup_steps=100,
            weight_decay=1e-4,
            max_gradient_norm=1.0,
            ema_decay=0.99,
        ),
        epochs=16,
        batch_size=16,
        micro_batches=1,
        validation_interval=4,
    )


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
