"""The box that never moves: the floor that any tracker has to beat."""

from __future__ import annotations

from pytracking.tracker.static import StaticParameters


def parameters() -> StaticParameters:
    """A static box has nothing to set."""
    return StaticParameters()
