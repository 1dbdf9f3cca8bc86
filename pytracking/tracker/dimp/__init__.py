"""The DiMP tracker (DiMP, SuperDiMP, PrDiMP and the energy trackers)."""

from __future__ import annotations

from ltr.models.tracking.dimpnet import DiMPNet
from pytracking.backends import find_graphs
from pytracking.networks import checksum
from pytracking.tracker.base import Tracker
from pytracking.tracker.dimp.dimp import DiMP, DiMPTargets
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.networks import checkpoint_of, load_tracking_network
from pytracking.tracker.shared.online_tracker import OnlineTracker

__all__ = ["DiMP", "DiMPParameters", "DiMPTargets", "create", "create_targets"]


def create(params: DiMPParameters) -> Tracker:
    """Create the tracker with the network that its parameters name. Raises `UserError` when there is none."""
    return OnlineTracker(create_targets(params))


def create_targets(params: DiMPParameters) -> DiMPTargets:
    """The same for many targets at once."""
    path = checkpoint_of(params)
    network, weights = load_tracking_network(path, DiMPNet), checksum(path)
    targets = DiMPTargets(params, network, find_graphs(params, network, path, weights))
    targets.weights_sha256 = weights
    return targets
