"""Seeds of runs: the written-down rule, every generator set, and nobody else's randomness disturbed."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.results import RawResult, describe_run, save_result, why_redo
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.seeds import seeded, seeded_by_run, sequence_seed
from pytracking.evaluation.tracker import TrackerRun
from pytracking.registry import load_parameters
from pytracking.tracker.static import StaticParameters


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_rule() -> None:
    assert sequence_seed(3, "dog") == int(hashlib.sha256(b"3/dog").hexdigest()[:8], 16)
    assert sequence_seed(None, "dog") == int(hashlib.sha256(b"/dog").hexdigest()[:8], 16)


@settings(deadline=None, derandomize=True)
@given(st.none() | st.integers(0, 10**6), st.text(max_size=20))
def test_any_seed_suits_every_generator(run_id: int | None, name: str) -> None:
    seed = sequence_seed(run_id, name)
    with seeded(seed):
        first = draw()
    with seeded(seed):
        assert draw() == first
    with seeded(seed ^ 1):
        assert draw() != first


def test_other_randomness_goes_on_where_it_was() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    got = [draw()]
    with pytest.raises(ZeroDivisionError), seeded(5):
        draw()
        raise ZeroDivisionError
    got.append(draw())
    assert got == expected


def test_a_numbered_run_draws_from_the_default_generator() -> None:
    params = load_parameters("dimp_nceplus_lite", "dimp")
    assert seeded_by_run(TrackerRun("dimp", "x"), params) == params
    assert params.seed == 0
    assert seeded_by_run(TrackerRun("dimp", "x", 0), params).seed is None
    assert seeded_by_run(TrackerRun("static", "default", 0), StaticParameters()) == StaticParameters()


def test_the_seed_is_in_the_manifest_and_another_makes_a_result_stale(
    sequence_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sequences = get_dataset("folder", path=sequence_root, sequences=["near"])
    run = TrackerRun("static", "default", 4)
    run_dataset(sequences, [run], tmp_path)
    file = tmp_path / "static" / "default_004" / "near.json"
    manifest = json.loads(file.read_text())
    assert (manifest["run_id"], manifest["seed"]) == (4, sequence_seed(4, "near"))
    assert manifest["tracked"]["host"]
    description = describe_run(run, StaticParameters(), None, sequences[0])
    assert why_redo(file.parent, description) is None
    save_result(file.parent, RawResult(sequences[0].ground_truth_rect, None), {**description, "seed": 7})
    assert why_redo(file.parent, description) == f"its seed differ: was 7, is {sequence_seed(4, 'near')}"
    run_dataset(sequences, [run], tmp_path)
    assert json.loads(file.read_text())["seed"] == sequence_seed(4, "near")
