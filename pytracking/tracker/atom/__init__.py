"""The ATOM tracker (ATOM, and ATOM with an energy head)."""

from __future__ import annotations

from ltr.models.bbreg.atom import AtomNet
from pytracking.backends import find_graphs
from pytracking.networks import checksum
from pytracking.tracker.atom.atom import ATOMParameters, ATOMTargets
from pytracking.tracker.base import Tracker
from pytracking.tracker.shared.networks import checkpoint_of, load_tracking_network
from pytracking.tracker.shared.online_tracker import OnlineTracker

__all__ = ["ATOMParameters", "ATOMTargets", "create", "create_targets"]


def create(params: ATOMParameters) -> Tracker:
    """Create the tracker with the network that its parameters name. Raises `UserError` when there is none."""
    return OnlineTracker(create_targets(params))


def create_targets(params: ATOMParameters) -> ATOMTargets:
    """The same for many targets at once."""
    path = checkpoint_of(params)
    network, weights = load_tracking_network(path, AtomNet), checksum(path)
    targets = ATOMTargets(params, network, find_graphs(params, network, path, weights))
    targets.weights_sha256 = weights
    return targets
