"""PrDiMP-50 (Danelljan et al., CVPR 2020): DiMP-50 with probabilistic losses.

Source: docs/reference.md, section 3, second column.
"""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import dimp50
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings, OptimiserSettings, Recipe, Refinement


def recipe() -> Recipe:
    """The recipe."""
    base = dimp50.recipe()
    sigma_factor = 0.25 / dimp50.SEARCH_AREA
    return replace(
        base,
        name="prdimp50",
        network=NetworkConstructor(
            "klcedimpnet50",
            {
                "backbone_pretrained": True,
                "out_feature_dim": 512,
                "gauss_sigma": sigma_factor * dimp50.FEATURE_SIZE,
            },
        ),
        data=replace(base.data, max_gap=200),
        box=BoxSettings("kldis", weight=0.0025),
        classifier=ClassifierSettings(
            label_sigma_factor=sigma_factor,
            loss="kl",
            final_weight=0.25,
            initial_weight=0.25,
            iteration_weight=1.0,
            score_threshold=0.04,
        ),
        optimiser=OptimiserSettings({"classifier": 1e-3, "bb_regressor": 1e-3, "feature_extractor": 2e-5}),
        refinement=Refinement(),
        # The published tracker searches in larger crops than those of training.
        tracked_with={"image_sample_size": 352, "search_area_scale": 6.0, "border_mode": "inside_major"},
    )
