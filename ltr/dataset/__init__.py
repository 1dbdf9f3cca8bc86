"""Training data sets, each in its official layout; by PyTracking's names where it has them."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Got10k": ("ltr.dataset.got10k", "Got10k"),
    "Lasot": ("ltr.dataset.lasot", "Lasot"),
    "MSCOCOSeq": ("ltr.dataset.coco", "Coco"),
    "TrackingNet": ("ltr.dataset.tracking_net", "TrackingNet"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ltr.dataset' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)
