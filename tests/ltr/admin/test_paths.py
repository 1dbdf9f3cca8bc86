"""Data set folders: from the environment, from the TOML file, and what is said when there is none."""

from __future__ import annotations

import pytest

from ltr.admin.paths import dataset_path
from ltr.errors import UserError


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "paths.toml"
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(path))
    monkeypatch.delenv("EBM_TRACKING_GOT10K", raising=False)
    return path


def test_the_environment_goes_before_the_file(tmp_path, config, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    config.write_text(f'[paths]\ngot10k = "{second}"\n')
    assert dataset_path("got10k") == second
    monkeypatch.setenv("EBM_TRACKING_GOT10K", str(first))
    assert dataset_path("got10k") == first


def test_errors_say_what_to_write_where(tmp_path, config):
    with pytest.raises(FileNotFoundError, match="EBM_TRACKING_GOT10K"):
        dataset_path("got10k")
    config.write_text('[paths]\ngot10k = "/does/not/exist"\n')
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        dataset_path("got10k")
    config.write_text("[paths\n")
    with pytest.raises(UserError, match="not valid TOML"):
        dataset_path("got10k")
