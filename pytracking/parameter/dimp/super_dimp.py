"""SuperDiMP: DiMP's classifier with a box head trained by KLD-IS."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `super_dimp` changes in the defaults."""
    return DiMPParameters(net_name="super_dimp")
