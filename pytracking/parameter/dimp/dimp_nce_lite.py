"""The compact DiMP-NCE, climbed as the compact DiMP-NCE+."""

from __future__ import annotations

from dataclasses import replace

from pytracking.parameter.dimp import dimp_nceplus_lite
from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_nce_lite` changes in `dimp_nceplus_lite`."""
    return replace(dimp_nceplus_lite.parameters(), net_name="dimp_nce_lite")
