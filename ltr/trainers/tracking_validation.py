"""Tracking a few sequences between epochs, by whatever package registers that it can (`ltr` itself cannot track).

A package registers a function under the entry point group `ebm_tracking.tracking_validation`. Called with the recipe's
`TrackingValidation`, it checks the names in it (ValueError) and returns a function (network file, folder) -> figures.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from ltr.errors import UserError
from ltr.train_settings.recipe import Recipe, TrackingValidation

GROUP = "ebm_tracking.tracking_validation"

# Tracks with a network file, working in a folder; returns figures such as {"auc": 61.2}.
Track = Callable[[Path, Path], dict[str, float]]
Prepare = Callable[[TrackingValidation], Track]


def find_tracking(recipe: Recipe, prepare: Prepare | None = None) -> Track | None:
    """How to track for validation; None where the recipe does not ask for it, or nothing is registered (says so).

    Args:
        prepare: used instead of the registered one.

    Raises:
        ValueError: the recipe names a tracker, data set or sequence that there is not, or keeps the best network by a
            tracking figure but never tracks.
    """
    settings = recipe.tracking
    by_tracking = recipe.best_figure.startswith("tracking/")
    if not settings.interval:
        if by_tracking:
            raise UserError(f"best_figure={recipe.best_figure} needs tracking.interval, which is 0")
        return None
    if prepare is None:
        registered = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
        if not registered:
            if by_tracking:
                raise UserError(f"best_figure={recipe.best_figure}: no installed package registers '{GROUP}'")
            if os.environ.get("RANK", "0") == "0":
                print(f"no installed package registers '{GROUP}': validation goes on without tracking")
            return None
        prepare = registered[0].load()
    return prepare(dataclasses.replace(settings, parameter=settings.parameter or recipe.name))
