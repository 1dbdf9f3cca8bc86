"""PrDiMP with a ResNet-18 (Danelljan et al., CVPR 2020)."""

from __future__ import annotations

from pytracking.tracker.dimp.settings import DiMPParameters


def parameters() -> DiMPParameters:
    """What `prdimp18` changes in the defaults."""
    return DiMPParameters(
        net_name="prdimp18",
        score_preprocess="softmax",
        target_not_found_threshold=0.04,
        image_sample_size=288,
        search_area_scale=5.0,
        border_mode="replicate",
    )
