"""Parameters of the DiMP trackers: a function each, which names what differs from `DiMPParameters`.

A network that states how it was trained goes before the class's defaults (docs/tracker.md).
"""

from __future__ import annotations

from dataclasses import replace

from pytracking.tracker.dimp.settings import DiMPParameters


def dimp18() -> DiMPParameters:
    """DiMP with a ResNet-18: IoU-Net refinement in absolute space (Bhat et al., ICCV 2019)."""
    return _dimp("dimp18")


def dimp50() -> DiMPParameters:
    """DiMP with a ResNet-50: IoU-Net refinement in absolute space (Bhat et al., ICCV 2019)."""
    return _dimp("dimp50")


def _dimp(net_name: str) -> DiMPParameters:
    return DiMPParameters(
        net_name=net_name,
        image_sample_size=288,
        search_area_scale=5.0,
        border_mode="replicate",
        box_refinement_space="absolute",
        box_refinement_iter=5,
        box_refinement_step_length=1.0,
    )


def prdimp18() -> DiMPParameters:
    """PrDiMP with a ResNet-18 (Danelljan et al., CVPR 2020)."""
    return DiMPParameters(
        net_name="prdimp18",
        score_preprocess="softmax",
        target_not_found_threshold=0.04,
        image_sample_size=288,
        search_area_scale=5.0,
        border_mode="replicate",
    )


def prdimp50() -> DiMPParameters:
    """PrDiMP with a ResNet-50 (Danelljan et al., CVPR 2020)."""
    return DiMPParameters(net_name="prdimp50", score_preprocess="softmax", target_not_found_threshold=0.04)


def super_dimp() -> DiMPParameters:
    """SuperDiMP: DiMP's classifier with a box head trained by KLD-IS."""
    return DiMPParameters(net_name="super_dimp")


def dimp_kldis() -> DiMPParameters:
    """DiMP-KLD-IS of the paper: SuperDiMP under its name there."""
    return DiMPParameters(net_name="dimp_kldis")


def dimp_nce() -> DiMPParameters:
    """DiMP-NCE of the paper: a box head trained by NCE."""
    return DiMPParameters(net_name="dimp_nce")


def dimp_nceplus() -> DiMPParameters:
    """DiMP-NCE+ of the paper: a box head trained by NCE+."""
    return DiMPParameters(net_name="dimp_nceplus")


# What differs from the other trackers' in localisation and updates was chosen on held-out scenes (docs/training.md).
_LITE = DiMPParameters(
    image_sample_size=256,
    search_area_scale=5.0,
    target_not_found_threshold=0.2,
    displacement_penalty=0.4,
    velocity_weight=0.8,
    distractor_penalty=0.5,
    train_skipping=5,
)


def dimp_nceplus_lite() -> DiMPParameters:
    """The compact DiMP-NCE+ for machines without a GPU: EfficientNet-Lite0, smaller samples."""
    return replace(
        _LITE,
        net_name="dimp_nceplus_lite",
        # Chosen by experiments.refinement_choice, and on held-out scenes (docs/speed.md).
        box_refinement_iter=5,
        box_refinement_step_length=(1.4e-3, 5.6e-3),
        box_refinement_step_decay=0.8,
    )


# Samples and ascent were chosen on held-out scenes by experiments.lite_search (docs/speed.md).
def dimp_nceplus_nano() -> DiMPParameters:
    """The quickest DiMP-NCE+: the compact one's network on samples of 160 pixels."""
    return replace(
        _LITE,
        net_name="dimp_nceplus_lite",
        image_sample_size=160,
        search_area_scale=3.125,
        box_refinement_iter=3,
        box_refinement_step_length=(2.2e-3, 8.8e-3),
        box_refinement_step_decay=0.6,
    )


def dimp_nce_lite() -> DiMPParameters:
    """The compact DiMP-NCE: the default's network with a box head trained by NCE."""
    return replace(_LITE, net_name="dimp_nce_lite")


def dimp_kldis_lite() -> DiMPParameters:
    """The compact DiMP-KLD-IS: the default's network with a box head trained by KLD-IS."""
    return replace(_LITE, net_name="dimp_kldis_lite")


def dimp_iou_lite() -> DiMPParameters:
    """The compact DiMP with IoU-Net refinement: the default's network with a box head trained by IoU regression."""
    return replace(_LITE, net_name="dimp_iou_lite")
