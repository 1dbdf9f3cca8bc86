"""ATOM with a ResNet-18: classifier learned online, IoU-Net refinement (Danelljan et al., CVPR 2019)."""

from __future__ import annotations

from pytracking.tracker.atom.settings import ATOMParameters


def parameters() -> ATOMParameters:
    """The defaults."""
    return ATOMParameters()
