"""Parameters of the OSTrack trackers: a function each, which names what differs from `OSTrackParameters`."""

from __future__ import annotations

from pytracking.tracker.ostrack import OSTrackParameters


def ostrack_256() -> OSTrackParameters:
    """OSTrack with ViT-B/16, search crops of 256 pixels."""
    return OSTrackParameters(net_name="ostrack_256")


def ostrack_384() -> OSTrackParameters:
    """OSTrack with ViT-B/16, search crops of 384 pixels."""
    return OSTrackParameters(net_name="ostrack_384", search_factor=5.0)


def ostrack_256_got10k() -> OSTrackParameters:
    """OSTrack-256 as it is trained on GOT-10k alone."""
    return OSTrackParameters(net_name="ostrack_256_got10k")


def ostrack_384_got10k() -> OSTrackParameters:
    """OSTrack-384 as it is trained on GOT-10k alone."""
    return OSTrackParameters(net_name="ostrack_384_got10k", search_factor=5.0)


def ostrack_256_kldis() -> OSTrackParameters:
    """OSTrack-256 without candidate elimination, its boxes refined by an energy that KLD-IS trained."""
    return OSTrackParameters(net_name="ostrack_256_kldis", use_iou_net=True)


def ostrack_256_nce() -> OSTrackParameters:
    """OSTrack-256 without candidate elimination, its boxes refined by an energy that NCE trained."""
    return OSTrackParameters(net_name="ostrack_256_nce", use_iou_net=True)


def ostrack_256_nceplus() -> OSTrackParameters:
    """OSTrack-256 without candidate elimination, its boxes refined by an energy that NCE+ trained."""
    return OSTrackParameters(net_name="ostrack_256_nceplus", use_iou_net=True)


def ostrack_toy_nceplus() -> OSTrackParameters:
    """A small transformer and its energy, as the recipe of that name trains them on a CPU."""
    return OSTrackParameters(net_name="ostrack_toy_nceplus", use_iou_net=True)
