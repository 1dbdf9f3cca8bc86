"""The toolkit's trackers.ini: what the command prints is read as the toolkit reads it, and starts the tracker."""

from __future__ import annotations

import configparser
import importlib.metadata
import shlex
import sys
from pathlib import Path

import pytest
import trax
from trax_client import ServedTracker

from ltr.errors import UserError, exit_status
from pytracking import __main__ as package_main
from pytracking import get_dataset, run_vot
from pytracking.run_vot import integration_section


def test_the_printed_command_starts_the_tracker(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for argv in (["static", "default"], ["opencv", "kcf", "--identifier", "kcf", "--label", "KCF, 100 %"]):
        assert exit_status(lambda argv=argv: package_main.main(["vot", "integrate", *argv])) == 0
    config = configparser.ConfigParser()
    config.read_string(capsys.readouterr().out)
    assert config.sections() == ["static_default", "kcf"]
    assert dict(config["static_default"]) == {
        "label": "static/default",
        "protocol": "trax",
        "command": shlex.join([sys.executable, "-m", "pytracking", "vot", "run", "static", "default"]),
    }
    assert config["kcf"]["label"] == "KCF, 100 %"
    with ServedTracker(shlex.split(config["static_default"]["command"]), tmp_path) as served:
        frame = get_dataset("demo", sequences=["mug"])[0].frames[0]
        assert served.initialize(frame, trax.Rectangle.create(10, 20, 30, 40))[0] == (10, 20, 30, 40)
        assert served.quit() == 0


def test_a_python_with_a_space_in_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python/50%/bin/python")
    config = configparser.ConfigParser()
    config.read_string(integration_section("opencv", "kcf"))
    assert shlex.split(config["opencv_kcf"]["command"])[0] == "/opt/my python/50%/bin/python"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("opencv", "kfc"), "did you mean 'kcf'"),
        (("opencv", "kcf", "--identifier", "k c f"), "'k c f' cannot name a tracker in the toolkit"),
        (("opencv", "kcf", "--label", "two\nlines"), "a tracker's label is one line"),
    ],
)
def test_what_cannot_be_written(options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture) -> None:
    assert exit_status(lambda: run_vot.main(["integrate", *options])) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UserError, match="pip install -e"):
        integration_section("opencv", "kcf")


def test_run_by_hand_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.delenv("TRAX_SOCKET", raising=False)
    assert exit_status(lambda: run_vot.main(["run", "static", "default"])) == 2
    assert "is started by the VOT toolkit" in capsys.readouterr().err
    assert exit_status(lambda: run_vot.main(["run", "static", "defualt"])) == 2
    assert "did you mean 'default'" in capsys.readouterr().err
