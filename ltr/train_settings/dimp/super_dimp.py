"""SuperDiMP: DiMP-50 with the better crops and a box head trained by KLD-IS.

Source: docs/reference.md, section 3, third column.
"""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import dimp50
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings, OptimiserSettings, Recipe, Refinement

FEATURE_SIZE = 22
SEARCH_AREA = 6.0


def recipe() -> Recipe:
    """The recipe."""
    base = dimp50.recipe()
    rates = {part: rate for part, rate in base.optimiser.learning_rates.items() if part != "feature_extractor"}
    return replace(
        base,
        name="super_dimp",
        network=NetworkConstructor(
            "dimpnet50",
            {
                **base.network.arguments,
                "init_gauss_sigma": 0.25 / SEARCH_AREA * FEATURE_SIZE,
                "frozen_backbone_layers": ["conv1", "bn1", "layer1", "layer2"],
            },
        ),
        data=replace(base.data, samples_per_epoch=40000, validation_samples=10000, max_gap=200),
        crop=replace(
            base.crop,
            output_size=FEATURE_SIZE * 16,
            search_area_factor=SEARCH_AREA,
            centre_jitter_test=5.5,
            border="inside_major",
            max_scale_change=1.5,
            flip_probability=0.5,
        ),
        box=BoxSettings("kldis", weight=0.01),
        classifier=ClassifierSettings(label_sigma_factor=0.25 / SEARCH_AREA),
        optimiser=OptimiserSettings({**rates, "feature_extractor.layer3": 2e-5}),
        batch_size=20,
        refinement=Refinement(),
    )
