"""The notebooks of the training methods and of landscapes run from first cell to last, on tiny data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from tiny_data import scene, shape_rgba, write_image

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "notebooks"
TINY_STUDY = """
settings = StudySettings(
    methods=("iou", "nceplus"), seeds=(0,), steps=2, sequences_per_step=2, num_samples=8, train_samples=4,
    validation_samples=1, test_samples=1, nll_samples=8, crop_size=96, rates=(1e-3,),
)
"""
TINY_LANDSCAPES = "frames = [3, 20]\ncells = 9\n"


def run(name: str, changes: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Execute a notebook in a folder; returns what it printed and the number of its pictures."""
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        (folder / "jupyter" / variable.lower()).mkdir(parents=True)
        monkeypatch.setenv(variable, str(folder / "jupyter" / variable.lower()))
    notebook: Any = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source += f"\n{changes}"
    # The studies are not installed with the package: a notebook needs the clone on its path.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    return printed, sum("image/png" in output.get("data", {}) for output in outputs)


def test_training_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(40):
        write_image(tmp_path / "data" / "cutouts" / "rgba" / f"{k:03d}.png", shape_rgba((5 * k, 90, 60)))
    write_image(tmp_path / "data" / "backgrounds" / "a.jpg", scene(0))
    monkeypatch.setenv("EBM_TRACKING_LITE", str(tmp_path / "data"))
    printed, pictures = run("training_methods", TINY_STUDY, tmp_path, monkeypatch)
    assert re.search(r"NCE\+ +IoU \d+\.\d -> \d+\.\d.*NLL", printed)
    assert re.search(r"IoU +IoU \d+\.\d -> \d+\.\d[^N]*\n", printed)
    assert "range of f" in printed and "relative" in printed
    assert pictures == 3


def test_landscapes_with_the_shipped_network_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, pictures = run("landscapes", TINY_LANDSCAPES, tmp_path, monkeypatch)
    assert re.search(r"dog, frame 20 +NCE\+ \(shipped\) +x 0\.\d+", printed)
    assert pictures == 3


@pytest.mark.parametrize("name", ["training_methods", "landscapes"])
def test_what_is_stored(name: str) -> None:
    """No outputs, which would go stale and carry paths; nothing of the machine."""
    notebook: Any = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
