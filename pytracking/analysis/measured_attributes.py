"""Attributes of a sequence that follow from its annotated boxes alone, for data sets that come without a list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence as Listing

import numpy as np

from ltr.dataset.boxfile import positive
from pytracking.evaluation.data import Sequence

MEASURED = {
    "ARC": "aspect ratio change, the ratio of width to height leaves half to twice the first one",
    "FM": "fast motion, the centre moves by more than 20 pixels between two frames",
    "LR": "low resolution, a box has fewer than 400 pixels",
    "SV": "scale variation, the area leaves half to twice the first one",
}


def measured_attributes(boxes: np.ndarray) -> tuple[str, ...]:
    """The attributes of `MEASURED` that annotated boxes show in at least one frame.

    FM, LR and SV are defined as in OTB-100 (Wu, Lim, Yang, TPAMI 2015, table 2), ARC as in UAV123 (Mueller, Smith,
    Ghanem, ECCV 2016, table 2). The published lists were made by eye in part, so that they differ in places.

    Args:
        boxes: [T, 4] (x, y, w, h) in pixels; frames without a finite box of positive size are left out.

    Returns:
        Short names in alphabetical order; empty where no frame has a box.
    """
    shown = positive(boxes)
    if not shown.any():
        return ()
    width, height = boxes[shown, 2:].T
    area, ratio = width * height, width / height
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    both = shown[1:] & shown[:-1]
    motion = np.linalg.norm(np.diff(centres, axis=0)[both], axis=1)
    found = {
        "ARC": _leaves_half_to_twice(ratio),
        "FM": bool((motion > 20).any()),
        "LR": bool((area < 400).any()),
        "SV": _leaves_half_to_twice(area),
    }
    return tuple(name for name, present in found.items() if present)


def with_measured_attributes(dataset: Listing[Sequence]) -> list[Sequence]:
    """The sequences, those without known attributes with the measured ones."""
    return [
        sequence
        if sequence.attributes is not None
        else dataclasses.replace(sequence, attributes=measured_attributes(sequence.ground_truth_rect))
        for sequence in dataset
    ]


def _leaves_half_to_twice(values: np.ndarray) -> bool:
    relative = values / values[0]
    return bool(((relative < 0.5) | (relative > 2)).any())
