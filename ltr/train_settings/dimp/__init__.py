"""Recipes of the DiMP trackers: two bases are a file each, and what differs from them stands here."""

from __future__ import annotations

from dataclasses import replace

from ltr.admin.model_constructor import NetworkConstructor
from ltr.train_settings.dimp import dimp50, dimp_nceplus_lite
from ltr.train_settings.recipe import BoxSettings, ClassifierSettings, OptimiserSettings, Recipe, Refinement


def prdimp50() -> Recipe:
    """PrDiMP-50 (Danelljan et al., CVPR 2020): DiMP-50 with probabilistic losses.

    Source: docs/reference.md, section 3, second column.
    """
    base = dimp50.recipe()
    sigma_factor = 0.25 / dimp50.SEARCH_AREA
    arguments = {"out_feature_dim": 512, "gauss_sigma": sigma_factor * dimp50.FEATURE_SIZE}
    return replace(
        base,
        name="prdimp50",
        network=NetworkConstructor("klcedimpnet50", {"backbone_pretrained": True, **arguments}),
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


def super_dimp() -> Recipe:
    """SuperDiMP: DiMP-50 with the better crops and a box head trained by KLD-IS.

    Source: docs/reference.md, section 3, third column.
    """
    base, feature_size, search_area = dimp50.recipe(), 22, 6.0
    rates = {part: rate for part, rate in base.optimiser.learning_rates.items() if part != "feature_extractor"}
    changes = {
        "init_gauss_sigma": 0.25 / search_area * feature_size,
        "frozen_backbone_layers": ["conv1", "bn1", "layer1", "layer2"],
    }
    return replace(
        base,
        name="super_dimp",
        network=NetworkConstructor("dimpnet50", {**base.network.arguments, **changes}),
        data=replace(base.data, samples_per_epoch=40000, validation_samples=10000, max_gap=200),
        crop=replace(
            base.crop,
            output_size=feature_size * 16,
            search_area_factor=search_area,
            centre_jitter_test=5.5,
            border="inside_major",
            max_scale_change=1.5,
            flip_probability=0.5,
        ),
        box=BoxSettings("kldis", weight=0.01),
        classifier=ClassifierSettings(label_sigma_factor=0.25 / search_area),
        optimiser=OptimiserSettings({**rates, "feature_extractor.layer3": 2e-5}),
        batch_size=20,
        refinement=Refinement(),
    )


def dimp18() -> Recipe:
    """DiMP-18: DiMP-50 on a ResNet-18, whose smaller network leaves room for a larger batch."""
    return _on_resnet18(dimp50.recipe(), "dimp18", "dimpnet18")


def prdimp18() -> Recipe:
    """PrDiMP-18: PrDiMP-50 on a ResNet-18."""
    return replace(_on_resnet18(prdimp50(), "prdimp18", "klcedimpnet18"), tracked_with={})


def _on_resnet18(base: Recipe, name: str, network: str) -> Recipe:
    arguments = {**base.network.arguments, "out_feature_dim": 256}
    return replace(base, name=name, network=NetworkConstructor(network, arguments), batch_size=26)


def dimp_kldis() -> Recipe:
    """DiMP-KLD-IS of the paper: SuperDiMP under the paper's name."""
    return replace(super_dimp(), name="dimp_kldis", box=BoxSettings("kldis", weight=0.01))


def dimp_nce() -> Recipe:
    """DiMP-NCE: SuperDiMP with the box head trained by noise contrastive estimation."""
    return replace(super_dimp(), name="dimp_nce", box=BoxSettings("nce", weight=0.01))


def dimp_nceplus() -> Recipe:
    """DiMP-NCE+: SuperDiMP with the box head trained by NCE+, the paper's method."""
    return replace(super_dimp(), name="dimp_nceplus", box=BoxSettings("nceplus", weight=0.01))


def dimp_nce_lite() -> Recipe:
    """The compact network with its box head trained by NCE."""
    # Chosen by experiments.refinement_choice.
    refinement = Refinement(step_length=(2.5e-4, 1e-3))
    box = BoxSettings("nce", weight=1.0)
    return replace(dimp_nceplus_lite.recipe(), name="dimp_nce_lite", box=box, refinement=refinement)


def dimp_kldis_lite() -> Recipe:
    """The compact network with its box head trained by KLD-IS."""
    # Chosen by experiments.refinement_choice.
    refinement = Refinement(step_length=(5e-4, 2e-3))
    box = BoxSettings("kldis", weight=1.0)
    return replace(dimp_nceplus_lite.recipe(), name="dimp_kldis_lite", box=box, refinement=refinement)


def dimp_iou_lite() -> Recipe:
    """The compact network with its box head trained by IoU regression, which the energy objectives replace."""
    # Chosen by experiments.refinement_choice.
    refinement = Refinement(steps=5, step_length=0.5, space="absolute")
    box = BoxSettings("iou", weight=1.0)
    return replace(dimp_nceplus_lite.recipe(), name="dimp_iou_lite", box=box, refinement=refinement)
