"""Tracking for training: metrics of a half-trained network on a few sequences.

`prepare` is what `ltr.trainers.loop.train` takes as its `prepare_tracking`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ltr.errors import UserError
from ltr.train_settings.recipe import TrackingValidation
from ltr.trainers.run import Track
from pytracking.analysis.extract import extract_scores
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import TrackerRun
from pytracking.registry import load_parameters


def prepare(settings: TrackingValidation) -> Track:
    """`track` for these settings, which are checked now, before hours of training.

    Raises:
        UserError: unknown tracker, parameters, data set or sequence, or a sequence that has no annotation.
    """
    try:
        load_parameters(settings.parameter, settings.tracker, net_path=None)
        _sequences(settings)
    except UserError as error:
        raise UserError(f"tracking validation: {error}") from error
    return partial(track, settings=settings)


def track(network_file: Path, folder: Path, settings: TrackingValidation) -> dict[str, float]:
    """Track the sequences with a network, and evaluate the boxes under the protocol `pytracking`.

    Args:
        network_file: a checkpoint; the tracker's parameters take it as their `net_path`.
        folder: for raw results, which the next call replaces.

    Returns:
        Means over the sequences in per cent: `auc`, `op50`, `precision`, `norm_precision`; and `fps`.

    Raises:
        RuntimeError: a sequence could not be tracked.
        UserError: a sequence or result cannot be read.
    """
    run = TrackerRun(settings.tracker, settings.parameter)
    results = folder / "results"
    sequences = _sequences(settings)
    failures = run_dataset(sequences, [run], results, force=True, overrides={"net_path": str(network_file)})
    if failures:
        raise RuntimeError("; ".join(f"{failure.sequence}: {failure.message}" for failure in failures))
    scores = extract_scores([run], sequences, results)
    metrics = {
        "auc": scores.auc,
        "op50": scores.overlap_precision(0.5),
        "precision": scores.precision,
        "norm_precision": scores.norm_precision,
    }
    return {**{name: float(scores.mean(value)[0]) for name, value in metrics.items()}, "fps": float(scores.fps[0])}


def _sequences(settings: TrackingValidation) -> list[Sequence]:
    sequences = get_dataset(settings.dataset, sequences=list(settings.sequences) or None)
    for sequence in sequences:
        if not sequence.has_ground_truth:
            raise UserError(f"'{sequence.name}' of {settings.dataset} has no annotation beyond its first box")
    return sequences
