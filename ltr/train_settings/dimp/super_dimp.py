"""SuperDiMP: DiMP-50 with the better crops and a box head trained by KLD-IS (SPEC section 3, third column)."""

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
)
from ltr.trainers.loop import RunSettings, train

FEATURE_SIZE = 22
SEARCH_AREA = 6.0


def recipe() -> Recipe:
    """The recipe."""
    return Recipe(
        name="super_dimp",
        network=NetworkConstructor(
            "dimpnet50",
            {
                "backbone_pretrained": True,
                "out_feature_dim": 512,
                "init_gauss_sigma": 0.25 / SEARCH_AREA * FEATURE_SIZE,
                "frozen_backbone_layers": ["conv1", "bn1", "layer1", "layer2"],
            },
        ),
        data=DataSettings(
            # LaSOT and TrackingNet join when their readers do.
            train=(DataSource("got10k", "vottrain"), DataSource("coco", "train2017")),
            validation=(DataSource("got10k", "votval"),),
            samples_per_epoch=40000,
            validation_samples=10000,
            max_gap=200,
        ),
        crop=CropSettings(
            output_size=FEATURE_SIZE * 16,
            search_area_factor=SEARCH_AREA,
            centre_jitter_train=3.0,
            centre_jitter_test=5.5,
            scale_jitter_train=0.25,
            scale_jitter_test=0.5,
            border="inside_major",
            max_scale_change=1.5,
            flip_probability=0.5,
        ),
        box=BoxSettings("kldis", weight=0.01),
        classifier=ClassifierSettings(label_sigma_factor=0.25 / SEARCH_AREA),
        optimiser=OptimiserSettings(
            {
                "classifier.filter_initializer": 5e-5,
                "classifier.filter_optimizer": 5e-4,
                "classifier.feature_extractor": 5e-5,
                "bb_regressor": 1e-3,
                "feature_extractor.layer3": 2e-5,
            }
        ),
        epochs=50,
        batch_size=20,
        validation_interval=5,
    )


def run(settings: RunSettings) -> None:
    """Train it."""
    train(recipe(), settings)
