"""OSTrack-256 with candidate elimination (Ye et al., ECCV 2022), from MAE weights.

Source: docs/reference.md, section 10.
"""

from __future__ import annotations

from ltr.admin.model_constructor import NetworkConstructor
from ltr.data.processing import CropSettings
from ltr.train_settings.recipe import DataSettings, DataSource, OptimiserSettings, Recipe, TrackingValidation


def recipe() -> Recipe:
    """The recipe."""
    return Recipe(
        name="ostrack_256",
        network=NetworkConstructor("ostrack", {"backbone_pretrained": True, "candidate_elimination": True}),
        data=DataSettings(
            train=(
                DataSource("lasot", "train"),
                DataSource("got10k", "vottrain"),
                DataSource("coco", "train2017"),
                DataSource("trackingnet", "all"),
            ),
            validation=(DataSource("got10k", "votval"),),
            samples_per_epoch=60000,
            validation_samples=10000,
            least_frames=20,
            least_visible=5,
            least_still_side=50,
            max_gap=200,
            train_frames=1,
            test_frames=1,
        ),
        crop=CropSettings(
            output_size=256,
            search_area_factor=4.0,
            template_size=128,
            template_area_factor=2.0,
            border="black",
            centre_jitter_train=0.0,
            centre_jitter_test=3.0,
            scale_jitter_train=0.0,
            scale_jitter_test=0.25,
            flip_probability=0.5,
        ),
        box=None,
        classifier=None,
        optimiser=OptimiserSettings(
            {"box_head": 4e-4, "backbone": 4e-5},
            decay=0.1,
            decay_epochs=240,
            weight_decay=1e-4,
            max_gradient_norm=0.1,
        ),
        epochs=300,
        batch_size=128,
        # Those of the published run on four GPUs, each with batch norm of its own.
        micro_batches=4,
        validation_interval=20,
        best_metric="centre/iou",
        tracking=TrackingValidation(tracker="ostrack"),
        seed=42,
    )
