"""OSTrack-256 without candidate elimination, its boxes refined by an energy that NCE+ trained."""

from __future__ import annotations

from pytracking.tracker.ostrack import OSTrackParameters


def parameters() -> OSTrackParameters:
    """The parameters of the recipe of this name."""
    return OSTrackParameters(net_name="ostrack_256_nceplus", use_iou_net=True)
