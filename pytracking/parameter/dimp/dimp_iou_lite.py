"""The compact DiMP with IoU-Net refinement, climbed as DiMP-50's."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_iou_lite` changes in the defaults, until there is a network that states it."""
    return DiMPParameters(
        net_name="dimp_iou_lite",
        image_sample_size=256,
        search_area_scale=5.0,
        box_refinement_space="absolute",
        box_refinement_iter=5,
        box_refinement_step_length=1.0,
    )
