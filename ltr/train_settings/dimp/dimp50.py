"""DiMP-50 (Bhat et al., ICCV 2019): base of the recipes that train on all data sets.

Source: docs/reference.md, section 3, first column.
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

FEATURE_SIZE = 18
SEARCH_AREA = 5.0


def recipe() -> Recipe:
    """The recipe."""
    return Recipe(
        name="dimp50",
        network=NetworkConstructor(
            "dimpnet50",
            {
                "backbone_pretrained": True,
                "out_feature_dim": 512,
                "init_gauss_sigma": 0.25 / SEARCH_AREA * FEATURE_SIZE,
            },
        ),
        data=DataSettings(
            train=(
                DataSource("got10k", "vottrain"),
                DataSource("lasot", "train"),
                DataSource("trackingnet", "0-3"),
                DataSource("coco", "train2017"),
            ),
            validation=(DataSource("got10k", "votval"),),
            samples_per_epoch=26000,
            validation_samples=5000,
            max_gap=30,
        ),
        crop=CropSettings(
            output_size=FEATURE_SIZE * 16,
            search_area_factor=SEARCH_AREA,
            centre_jitter_train=3.0,
            centre_jitter_test=4.5,
            scale_jitter_train=0.25,
            scale_jitter_test=0.5,
        ),
        box=BoxSettings("iou", weight=1.0),
        classifier=ClassifierSettings(label_sigma_factor=0.25 / SEARCH_AREA),
        optimiser=OptimiserSettings(
            {
                "classifier.filter_initializer": 5e-5,
                "classifier.filter_optimizer": 5e-4,
                "classifier.feature_extractor": 5e-5,
                "bb_regressor": 1e-3,
                "feature_extractor": 2e-5,
            }
        ),
        epochs=50,
        batch_size=10,
        validation_interval=5,
        refinement=Refinement(steps=5, step_length=1.0, space="absolute"),
    )
