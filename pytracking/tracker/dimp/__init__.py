"""The DiMP tracker (DiMP, SuperDiMP, PrDiMP and the energy trackers)."""

from __future__ import annotations

from ltr.models.tracking.dimpnet import DiMPNet
from pytracking.networks import checksum
from pytracking.tracker.base import Tracker
from pytracking.tracker.dimp.dimp import DiMP
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.networks import checkpoint_of, load_tracking_network

__all__ = ["DiMP", "DiMPParameters", "create"]


def create(params: DiMPParameters) -> Tracker:
    """Create the tracker with the network that its parameters name. Raises `UserError` when there is none."""
    path = checkpoint_of(params)
    tracker = DiMP(params, load_tracking_network(path, DiMPNet))
    tracker.weights_sha256 = checksum(path)
    return tracker
