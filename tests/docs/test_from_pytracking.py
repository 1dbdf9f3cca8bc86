"""What PyTracking's users type: imports that work, imports that say what to use, and the page that lists both."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import pytracking.evaluation
from ltr.moved import MOVED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from_pytracking.md"
ROWS = "".join(f"| `{name}` | {use} |\n" for name, use in sorted(MOVED.items()))


def test_the_page_lists_what_the_code_says() -> None:
    table = PAGE.read_text().split("-->\n")[1].removesuffix("<!-- end of moved ")
    assert table == ROWS


@pytest.mark.parametrize("name", MOVED)
def test_an_import_says_what_to_use(name: str) -> None:
    with pytest.raises(ImportError, match=re.escape(f"here: {MOVED[name]}")):
        importlib.import_module(name)


def test_a_name_from_a_package_says_what_to_use() -> None:
    with pytest.raises(ImportError, match=r"ltr\.data\.loader\.make_loader"):
        from ltr.data import LTRLoader  # noqa: F401
    with pytest.raises(ImportError, match=r"ltr\.admin\.checkpoint"):
        from pytracking.utils.loading import load_network  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'pytracking\.nonsense'"):
        importlib.import_module("pytracking.nonsense")


def test_what_is_named_instead_exists() -> None:
    named = {name for use in MOVED.values() for name in re.findall(r"\b(?:ltr|pytracking)(?:\.\w+)+", use)}
    assert len(named) > 10
    for name in named:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_names_of_pytracking_are_ours() -> None:
    from ltr.dataset import Got10k, Lasot, MSCOCOSeq, TrackingNet
    from pytracking.evaluation import Tracker, get_dataset, trackerlist

    assert Tracker("dimp", "dimp50", 3, "DiMP-50").label == "DiMP-50"
    assert trackerlist("dimp", "dimp50")[0] == Tracker("dimp", "dimp50")
    assert get_dataset is pytracking.evaluation.get_dataset
    assert [one.__name__ for one in (Got10k, Lasot, MSCOCOSeq, TrackingNet)] == [
        "Got10k",
        "Lasot",
        "Coco",
        "TrackingNet",
    ]


def test_run_dataset_is_called_as_in_pytracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytracking.evaluation import get_dataset, trackerlist
    from pytracking.evaluation.running import run_dataset

    monkeypatch.chdir(tmp_path)
    dataset = [sequence for sequence in get_dataset("demo") if sequence.name == "mug"]
    assert run_dataset(dataset, trackerlist("static", "default"), False, 1) == []
    assert (tmp_path / "results" / "tracking_results" / "static" / "default" / "mug.txt").is_file()
