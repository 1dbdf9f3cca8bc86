"""The study's notebook runs from its first cell to its last, with a tiny study's settings."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[3] / "experiments" / "notebooks" / "regression_1d.ipynb"
TINY = """
settings = RegressionSettings(epochs=1, models=2, samples=8, train_size=64, grid=64)
dataset = "set2"
methods = ["nce", "nceplus"]
"""


def test_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source += TINY
    # The studies are not installed with the package: a notebook needs the clone on its path.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "NCE+" in printed and "M = 16384" in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
