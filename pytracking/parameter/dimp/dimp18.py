"""DiMP with a ResNet-18: IoU-Net refinement in absolute space (Bhat et al., ICCV 2019)."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp18` changes in the defaults."""
    return DiMPParameters(
        net_name="dimp18",
        image_sample_size=288,
        search_area_scale=5.0,
        border_mode="replicate",
        box_refinement_space="absolute",
        box_refinement_iter=5,
        box_refinement_step_length=1.0,
    )
