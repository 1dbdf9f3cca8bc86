"""Parameters of the tracker whose box never moves."""

from __future__ import annotations

from pytracking.tracker.static import StaticParameters


def default() -> StaticParameters:
    """The box that never moves: the floor that any tracker has to beat."""
    return StaticParameters()
