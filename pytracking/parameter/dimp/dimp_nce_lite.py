"""The compact DiMP-NCE, climbed as the compact DiMP-NCE+."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_nce_lite` changes in the defaults, until there is a network that states it."""
    return DiMPParameters(
        net_name="dimp_nce_lite",
        image_sample_size=256,
        search_area_scale=5.0,
        box_refinement_step_length=(5e-4, 2e-3),
    )
