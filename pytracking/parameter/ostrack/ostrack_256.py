"""OSTrack with ViT-B/16, search crops of 256 pixels."""

from __future__ import annotations

from pytracking.tracker.ostrack import OSTrackParameters


def parameters() -> OSTrackParameters:
    """The parameters of the public model."""
    return OSTrackParameters(net_name="ostrack_256")
