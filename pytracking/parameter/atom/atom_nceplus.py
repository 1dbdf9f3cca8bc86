"""ATOM with an energy head trained by NCE+, refined in relative space."""

from __future__ import annotations

from pytracking.tracker.atom.settings import ATOMParameters


def parameters() -> ATOMParameters:
    """What `atom_nceplus` changes in the defaults."""
    return ATOMParameters(
        net_name="atom_nceplus",
        box_refinement_space="relative",
        box_refinement_iter=10,
        box_refinement_step_length=2.5e-3,
    )
