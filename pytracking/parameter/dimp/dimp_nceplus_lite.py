"""The compact DiMP-NCE+ for machines without a GPU: EfficientNet-Lite0, smaller samples."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_nceplus_lite` changes in the defaults."""
    return DiMPParameters(
        net_name="dimp_nceplus_lite",
        image_sample_size=256,
        search_area_scale=5.0,
        # Chosen on validation crops by experiments.refinement_choice (docs/training.md).
        box_refinement_step_length=(5e-4, 2e-3),
    )
