"""The compact DiMP-NCE+ for machines without a GPU: EfficientNet-Lite0, smaller samples."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """The network states how it was trained."""
    return DiMPParameters(net_name="dimp_nceplus_lite")
