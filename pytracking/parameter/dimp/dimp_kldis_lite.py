"""The compact DiMP-KLD-IS, climbed as SuperDiMP."""

from __future__ import annotations

from dataclasses import replace

from pytracking.parameter.dimp import dimp_nceplus_lite
from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_kldis_lite` changes in `dimp_nceplus_lite`."""
    return replace(dimp_nceplus_lite.parameters(), net_name="dimp_kldis_lite", box_refinement_step_length=2.5e-3)
