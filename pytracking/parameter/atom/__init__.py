"""Parameters of the ATOM trackers: a function each, which names what differs from `ATOMParameters`."""

from __future__ import annotations

from pytracking.tracker.atom.atom import ATOMParameters


def default() -> ATOMParameters:
    """ATOM with a ResNet-18: classifier learned online, IoU-Net refinement (Danelljan et al., CVPR 2019)."""
    return ATOMParameters()


def atom_kldis() -> ATOMParameters:
    """ATOM with an energy head trained by KLD-IS, refined in relative space."""
    return _energy("atom_kldis")


def atom_mlis() -> ATOMParameters:
    """ATOM with an energy head trained by ML-IS, refined in relative space."""
    return _energy("atom_mlis")


def atom_nceplus() -> ATOMParameters:
    """ATOM with an energy head trained by NCE+, refined in relative space."""
    return _energy("atom_nceplus")


def _energy(net_name: str) -> ATOMParameters:
    return ATOMParameters(
        net_name=net_name, box_refinement_space="relative", box_refinement_iter=10, box_refinement_step_length=2.5e-3
    )
