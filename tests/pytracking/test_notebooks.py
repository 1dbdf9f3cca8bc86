"""The notebooks: executed on small real results, and free of what does not belong into a repository."""

from __future__ import annotations

import ast
import base64
import importlib
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import pytracking
from ltr.errors import UserError
from pytracking.notebooks import find_results

FOLDER = Path(pytracking.__file__).parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
DATA = Path(__file__).resolve().parents[1] / "data"


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> str:
    """The Python of a notebook, without IPython's own commands."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if not line.startswith("%"))


def execute(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object] | None = None
) -> tuple[str, list[np.ndarray]]:
    """Run a notebook in a folder; returns what it printed and its pictures [H, W, 3].

    Args:
        name: of the notebook.
        folder: the current directory.
        monkeypatch: keeps Jupyter's files out of the home directory.
        settings: values that replace those of the first code cell.
    """
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        (folder / "jupyter" / variable.lower()).mkdir(parents=True)
        monkeypatch.setenv(variable, str(folder / "jupyter" / variable.lower()))
    notebook = read(FOLDER / f"{name}.ipynb")
    position = next(n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    known = {node.id for node in ast.walk(ast.parse(notebook.cells[position].source)) if isinstance(node, ast.Name)}
    assert set(settings or {}) <= known
    changed = "\n".join(f"{key} = {value!r}" for key, value in (settings or {}).items())
    notebook.cells.insert(position + 1, nbformat.v4.new_code_cell(changed))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    pictures = [
        output.data[kind]
        for output in outputs
        if output.output_type == "display_data"
        for kind in ("image/png", "image/jpeg")
        if kind in output.data
    ]
    decoded = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) for data in pictures]
    return printed, [picture for picture in decoded if picture is not None]


def row(printed: str, first: str) -> list[str]:
    """The cells of the first line of a printed table that starts with `first`."""
    line = next(line for line in printed.splitlines() if line.startswith(first))
    return line[len(first) :].split()


def test_results_of_the_demo_with_the_settings_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA / "demo_results", tmp_path / "results" / "demo" / "tracking_results")
    below = tmp_path / "somewhere" / "below"
    below.mkdir(parents=True)
    printed, pictures = execute("analyze_results", below, monkeypatch)
    assert row(printed, "DiMP-NCE+ lite")[0] == "75.9"
    assert row(printed, "static box")[0] == "33.7"
    assert row(printed, "girl ") == ["100", "61.5", "50.0", "58.0", "31.4"]
    assert row(printed, "CSRT ")[-1] != "-"
    assert "AUC against DiMP-NCE+ lite" in printed
    assert "protocol pytracking" in printed
    # Three curves, intervals, scatter, speed, and overlap with frames of the two worst sequences.
    assert len(pictures) == 10
    assert all(picture.std() > 10 for picture in pictures)
    assert pictures[-1].shape[1] > 1600


@pytest.fixture
def otb(tmp_path: Path) -> Path:
    """Four sequences of OTB-100 with published results: `otb/<sequence>/...`, `raw/<tracker>/otb/<sequence>.txt`."""
    with np.load(DATA / "foreign_results.npz") as arrays:
        for key in arrays.files:
            dataset, sequence, name, *rest = f"{key}__".split("_")
            if dataset != "otb" or any(rest):
                continue
            file = tmp_path / "raw" / name.lower() / "otb" / f"{sequence}.txt"
            if name == "annotation":
                file = tmp_path / "otb" / sequence / "groundtruth_rect.txt"
                (file.parent / "img").mkdir(parents=True)
                (file.parent / "img" / "0001.jpg").touch()
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(file, arrays[key], delimiter=",", fmt="%.4f")
    return tmp_path


def test_attributes_of_otb_with_published_results(otb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "DATASET": "otb",
        "DATASET_PATH": str(otb / "otb"),
        "SEQUENCES": ["Couple", "Crossing", "Deer", "Skiing"],
        "RESULTS": str(otb / "raw"),
        "TRACKERS": ["atom/otb=ATOM", "siamfc/otb=SiamFC", "struck/otb=Struck"],
    }
    printed, pictures = execute("per_attribute", otb, monkeypatch, settings)
    assert "measured" not in printed
    assert row(printed, "Deer ") == ["x"] * 5
    assert row(printed, "AUC on otb") == ["sequences", "ATOM", "SiamFC", "Struck"]
    # Skiing alone; Couple, Crossing and Skiing; all four.
    assert row(printed, "IV ") == ["1", "69.5", "9.4", "3.5"]
    assert row(printed, "SV ") == ["3", "76.3", "51.5", "41.2"]
    assert row(printed, "all ") == ["4", "71.4", "57.3", "49.1"]
    assert len(pictures) == 2
    assert all(picture.std() > 10 for picture in pictures)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored(path: Path) -> None:
    """No outputs, which would go stale, swell every change and carry paths; nothing of the machine."""
    notebook = read(path)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert "parameters" in notebook.cells[1].metadata.tags


def absolute_paths(text: str) -> list[str]:
    return re.findall(r"""(?:(?<=["'\s=(])|^)(?:/\w[\w./-]*|~/\S*|[A-Za-z]:\\\S*)|file://\S*""", text)


def test_absolute_paths_are_seen() -> None:
    assert len(absolute_paths('a = "/home/me"; b = "C:\\\\x"; c = \'~/x\'; see file:///tmp')) == 4
    assert absolute_paths('"results/demo/tracking_results", 3 / 4, <tracker>/<parameters>') == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_absolute_paths(path: Path) -> None:
    assert [found for cell in read(path).cells for found in absolute_paths(cell.source)] == []


def private_uses(tree: ast.AST) -> list[str]:
    """Names with a leading underscore that are imported or reached into."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [name for name in names if any(part.startswith("_") for part in name.split("."))]
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            found.append(node.attr)
    return found


def test_private_uses_are_seen() -> None:
    assert private_uses(ast.parse("from a._b import c\nfrom a import _d\nimport e._f\na.b._g\na.b.c")) == [
        "a._b",
        "_d",
        "e._f",
        "_g",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_public_functions_are_used(path: Path) -> None:
    tree = ast.parse(code(read(path)))
    assert private_uses(tree) == []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_results_are_found_from_below(tmp_path: Path) -> None:
    raw = tmp_path / "results" / "mine"
    raw.mkdir(parents=True)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_results("results/mine", below) == raw
    assert find_results(raw, below) == raw
    with pytest.raises(UserError, match=r"no folder results.none .*python -m pytracking demo"):
        find_results("results/none", below)
