"""Every layout from its files to the table: run by the command, one sequence damaged, mended, run again, scored."""

from __future__ import annotations

from pathlib import Path

import mini_datasets as mini
import numpy as np
import pytest

from pytracking import __main__ as package_main
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.tables import results_table
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.results import load_result
from pytracking.evaluation.tracker import TrackerRun

RUN = TrackerRun("static", "default", None, "static")


@pytest.mark.parametrize("dataset", sorted(mini.WRITERS))
def test_a_data_set_is_run_mended_run_again_and_scored(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    mini.shorten(monkeypatch)
    root, results = tmp_path / "copy", tmp_path / "results"
    mini.WRITERS[dataset](root)
    sequences = get_dataset(dataset, path=root)
    harmed = sequences[-1].frames[1]
    hurt = {sequence.name for sequence in sequences if harmed in sequence.frames}
    whole = harmed.read_bytes()
    harmed.write_bytes(whole[: len(whole) // 2])

    command = ["run", "static", "default", "--dataset_name", dataset, "--dataset_path", str(root)]
    command += ["--results", str(results)]
    assert package_main.main(command) == 1
    error = capsys.readouterr().err
    assert f"{len(hurt)} sequence(s) failed" in error and str(harmed) in error
    folder = RUN.result_folder(results)
    finished = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert finished.keys() == {sequence.name for sequence in sequences} - hurt

    harmed.write_bytes(whole)
    assert package_main.main(command) == 0
    assert f"{len(finished)} complete result(s) kept" in capsys.readouterr().err or not finished
    assert all((folder / f"{name}.json").stat().st_mtime_ns == time for name, time in finished.items())
    assert not list(folder.glob("*.lock*"))
    for sequence in sequences:
        result = load_result(folder, sequence)
        assert len(result.boxes) == len(sequence.frames)
        np.testing.assert_allclose(result.boxes, sequence.ground_truth_rect[:1].repeat(len(result.boxes), 0), atol=1e-4)

    if sequences[0].has_ground_truth:
        scores = extract_scores([RUN], sequences, results)
        # The targets of the miniatures move by a pixel a frame, so that a box that does not is near them.
        assert 30 < float(scores.mean(scores.headline)[0]) < 95.24
        assert "static" in results_table(scores)
