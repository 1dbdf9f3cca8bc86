"""The benchmark of running and evaluating: it runs, small, and counts what it says. Asserts no speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.benchmarks import evaluation
from pytracking.evaluation.datasets import get_dataset


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "get_dataset", lambda name: get_dataset(name, sequences=["mug"]))
    report = tmp_path / "evaluation.json"
    monkeypatch.setattr(evaluation, "otb_lengths", lambda: [100, 20, 180])
    options = ["--workers", "1", "--copies", "1", "--repeats", "1"]
    assert evaluation.main([*options, "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert "1 worker process " in out
    content = json.loads(report.read_text())
    assert [item["how"] for item in content["overhead"]] == ["bare loop", "this process", "1 worker process"]
    assert content["overhead"][0]["overhead"] == 0
    assert all(item["frames"] == 96 for item in content["overhead"])
    assert content["scoring"]["sequences"] == 3
    assert content["scoring"]["frames"] == 300


def test_stored_results_are_scored(tmp_path: Path) -> None:
    sequences, runs = evaluation.made_up(tmp_path, [20, 3])
    table = evaluation.score(sequences, runs, tmp_path)
    assert "made_up/near" in table


def test_otb_has_its_lengths() -> None:
    lengths = evaluation.otb_lengths()
    assert (len(lengths), min(lengths), max(lengths)) == (100, 71, 3872)
