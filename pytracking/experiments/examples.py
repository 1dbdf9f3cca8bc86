"""Experiments to start from: which trackers run on which sequences.

A function takes no arguments and returns the runs and the sequences; its first line of documentation is what
`run_experiment.py` lists.
"""

from __future__ import annotations

from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.tracker import TrackerRun, trackerlist

Experiment = tuple[list[TrackerRun], list[Sequence]]

_OBJECTIVES = ("dimp_kldis", "dimp_nce", "dimp_nceplus")


def demo() -> Experiment:
    """The shipped tracker, OpenCV's two and a box that never moves, on the demo clips."""
    trackers = [
        *trackerlist("dimp", "dimp_nceplus_lite"),
        *trackerlist("opencv", "csrt"),
        *trackerlist("opencv", "kcf"),
        *trackerlist("static", "default"),
    ]
    return trackers, get_dataset("demo")


def demo_runs() -> Experiment:
    """Five runs of the shipped tracker on the demo clips, for mean and spread."""
    return trackerlist("dimp", "dimp_nceplus_lite", range(5)), get_dataset("demo")


def objectives_otb() -> Experiment:
    """Five runs of the energy trackers and of SuperDiMP on OTB-100 (their weights are to be trained first)."""
    return _five_runs(*_OBJECTIVES, "super_dimp"), get_dataset("otb")


def objectives_nfs_uav() -> Experiment:
    """Five runs of the energy trackers and of SuperDiMP on NFS and UAV123 (their weights are to be trained first)."""
    return _five_runs(*_OBJECTIVES, "super_dimp"), get_dataset("nfs", "uav")


def objectives_lasot() -> Experiment:
    """Five runs of the energy trackers and of SuperDiMP on LaSOT (their weights are to be trained first)."""
    return _five_runs(*_OBJECTIVES, "super_dimp"), get_dataset("lasot")


def _five_runs(*parameters: str) -> list[TrackerRun]:
    return [run for parameter in parameters for run in trackerlist("dimp", parameter, range(5))]
