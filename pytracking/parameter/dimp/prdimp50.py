"""PrDiMP with a ResNet-50 (Danelljan et al., CVPR 2020)."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `prdimp50` changes in the defaults."""
    return DiMPParameters(net_name="prdimp50", score_preprocess="softmax", target_not_found_threshold=0.04)
