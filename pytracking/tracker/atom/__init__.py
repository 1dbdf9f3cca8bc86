"""The ATOM tracker (ATOM, and ATOM with an energy head)."""

from __future__ import annotations

from ltr.models.bbreg.atom import AtomNet
from pytracking.networks import checksum
from pytracking.tracker.atom.atom import ATOM
from pytracking.tracker.atom.settings import ATOMParameters
from pytracking.tracker.base import Tracker
from pytracking.tracker.shared.networks import checkpoint_of, load_tracking_network

__all__ = ["ATOM", "ATOMParameters", "create"]


def create(params: ATOMParameters) -> Tracker:
    """Create the tracker with the network that its parameters name. Raises `UserError` when there is none."""
    path = checkpoint_of(params)
    tracker = ATOM(params, load_tracking_network(path, AtomNet))
    tracker.weights_sha256 = checksum(path)
    return tracker
