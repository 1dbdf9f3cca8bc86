"""Data sets, running trackers on them, and results on disk."""

from __future__ import annotations

from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.results import read_result
from pytracking.evaluation.tracker import Tracker, TrackerRun, trackerlist

__all__ = ["Sequence", "Tracker", "TrackerRun", "get_dataset", "read_result", "trackerlist"]
