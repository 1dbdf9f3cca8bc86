"""DiMP-NCE+ of the paper: a box head trained by NCE+."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `dimp_nceplus` changes in the defaults."""
    return DiMPParameters(net_name="dimp_nceplus")
