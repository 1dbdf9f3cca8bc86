"""DiMP-KLD-IS of the paper: SuperDiMP under its name there."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_kldis` changes in the defaults."""
    return DiMPParameters(net_name="dimp_kldis")
