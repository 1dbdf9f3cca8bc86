"""Seeds: which one a sequence of a run gets, and setting every generator that a tracker may draw from."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import Any

import cv2
import numpy as np

from pytracking.evaluation.tracker import TrackerRun


def sequence_seed(run_id: int | None, sequence: str) -> int:
    """The seed of one sequence of one run, in 0..2^32 - 1.

    It is the first four bytes, the highest first, of the SHA-256 of '<run id>/<sequence name>' in UTF-8, the run id in
    decimal digits and empty where the run has no number. So it depends on nothing else: not on the tracker, the other
    sequences, their order, or the worker.

    >>> sequence_seed(0, "dog"), sequence_seed(None, "dog")
    (569837786, 533717474)
    """
    return int.from_bytes(hashlib.sha256(f"{'' if run_id is None else run_id}/{sequence}".encode()).digest()[:4], "big")


def seeded_by_run(run: TrackerRun, params: Any) -> Any:
    """The parameters for a run: a numbered run's field `seed`, where there is one, is None.

    A tracker with `seed=None` draws from torch's default generator, which has the sequence's seed, so that runs differ;
    a run without a number keeps the seed that its parameters name.
    """
    if run.run_id is None or "seed" not in {field.name for field in fields(params)}:
        return params
    return replace(params, seed=None)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the default generators of Python, numpy, OpenCV and (where it is imported) torch, for the length of a block.

    Afterwards they go on where they were, but for OpenCV's, which cannot be read.

    Args:
        seed: 0..2^32 - 1.
    """
    torch = sys.modules.get("torch")
    with ExitStack() as states:
        states.callback(np.random.set_state, np.random.get_state())
        states.callback(random.setstate, random.getstate())
        if torch is not None:
            gpus = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
            states.enter_context(torch.random.fork_rng(gpus))
            torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        cv2.setRNGSeed(seed & 0x7FFFFFFF)
        yield
