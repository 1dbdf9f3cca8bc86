"""The compact DiMP with IoU-Net refinement, climbed as DiMP-50's."""

from __future__ import annotations

from dataclasses import replace

from pytracking.parameter.dimp import dimp_nceplus_lite
from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_iou_lite` changes in `dimp_nceplus_lite`."""
    return replace(
        dimp_nceplus_lite.parameters(),
        net_name="dimp_iou_lite",
        box_refinement_space="absolute",
        box_refinement_iter=5,
        box_refinement_step_length=1.0,
    )
