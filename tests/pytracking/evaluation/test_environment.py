"""Where data sets and results are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltr.errors import UserError
from pytracking.evaluation.datasets import dataset_root
from pytracking.evaluation.tracker import results_root


def test_the_command_line_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("EBM_TRACKING_OTB", str(tmp_path / "a"))
    assert dataset_root("otb") == tmp_path / "a"
    assert dataset_root("otb", tmp_path / "b") == tmp_path / "b"
    with pytest.raises(UserError, match="no such folder"):
        dataset_root("otb", tmp_path / "c")


def test_a_paths_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "paths.toml"
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(file))
    file.write_text(f'[paths]\notb = "{tmp_path}"\nnfs = "{tmp_path}/none"\n')
    assert dataset_root("otb") == tmp_path
    with pytest.raises(UserError, match="none"):
        dataset_root("nfs")
    file.write_text("[paths\n")
    with pytest.raises(UserError, match="not valid TOML"):
        dataset_root("otb")


def test_results_have_a_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_root() == Path("results/tracking_results")
    monkeypatch.setenv("EBM_TRACKING_RESULTS", str(tmp_path))
    assert results_root() == tmp_path
    assert results_root("here") == Path("here")
