"""DiMP-NCE+ on the compact network, trained on real and composited video, on a CPU in some hours.

The data folder is named by EBM_TRACKING_LITE (see docs/data.md for its layout).
"""

from __future__ import annotations

from ltr.admin.model_constructor import NetworkConstructor
from ltr.data.processing import CropSettings
from ltr.train_settings.recipe import (
    BoxSettings,
    ClassifierSettings,
    DataSettings,
    DataSource,
    OptimiserSettings,
    Recipe,
    Refinement,
)

FEATURE_SIZE = 16
SEARCH_AREA = 5.0


def recipe() -> Recipe:
    """The recipe."""
    return Recipe(
        name="dimp_nceplus_lite",
        network=NetworkConstructor(
            "dimpnet_lite0", {"backbone_pretrained": True, "init_gauss_sigma": 0.25 / SEARCH_AREA * FEATURE_SIZE}
        ),
        data=DataSettings(
            train=(DataSource("lite", "train"),),
            validation=(DataSource("lite", "val"),),
            samples_per_epoch=4000,
            validation_samples=160,
            max_gap=30,
            train_frames=1,
            test_frames=3,
        ),
        crop=CropSettings(
            output_size=FEATURE_SIZE * 16,
            search_area_factor=SEARCH_AREA,
            centre_jitter_train=2.5,
            centre_jitter_test=4.0,
            scale_jitter_train=0.25,
            scale_jitter_test=0.5,
            border="inside_major",
            max_scale_change=1.5,
            joint_brightness_jitter=0.2,
            grayscale_probability=0.1,
            contrast_jitter=0.2,
            saturation_jitter=0.2,
            hue_jitter=0.02,
            blur_probability=0.1,
            flip_probability=0.5,
        ),
        box=BoxSettings("nceplus", weight=1.0),
        classifier=ClassifierSettings(label_sigma_factor=0.25 / SEARCH_AREA, score_threshold=0.2),
        optimiser=OptimiserSettings(
            {
                "classifier.filter_initializer": 5e-4,
                "classifier.filter_optimizer": 2e-3,
                "classifier.feature_extractor": 5e-4,
                "bb_regressor": 1e-3,
                # The last of the blocks before layer3; those before them stay ImageNet's.
                "feature_extractor._blocks.8": 5e-5,
                "feature_extractor._blocks.9": 5e-5,
                "feature_extractor._blocks.10": 5e-5,
            },
            schedule="cosine",
            warmup_steps=100,
            max_gradient_norm=50.0,
            ema_decay=0.998,
        ),
        epochs=14,
        batch_size=16,
        precision="bf16",
        validation_interval=2,
        # Chosen by experiments.refinement_choice.
        refinement=Refinement(steps=5, step_length=(1.4e-3, 5.6e-3), decay=0.8),
    )
