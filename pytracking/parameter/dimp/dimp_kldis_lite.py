"""The compact DiMP-KLD-IS, climbed as SuperDiMP."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_kldis_lite` changes in the defaults, until there is a network that states it."""
    return DiMPParameters(
        net_name="dimp_kldis_lite",
        image_sample_size=256,
        search_area_scale=5.0,
    )
