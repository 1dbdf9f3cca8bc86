"""Finding and creating trackers by name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types

import pytest

import pytracking
from ltr.errors import UserError
from pytracking import registry
from pytracking.tracker.static import StaticTracker


def test_lists_trackers_with_their_parameters() -> None:
    trackers = pytracking.list_trackers()
    assert {"csrt", "kcf", "nano"} <= set(trackers["opencv"])
    assert trackers["static"] == ["default"]


def test_finds_the_tracker_of_a_parameter() -> None:
    assert registry.find_tracker("kcf") == ("opencv", "kcf")
    assert isinstance(pytracking.load_tracker("default", "static"), StaticTracker)


@pytest.mark.parametrize(
    ("parameter", "tracker", "message"),
    [
        ("kfc", None, "unknown parameter 'kfc'; did you mean 'kcf'"),
        ("kcf", "opncv", "unknown tracker 'opncv'; did you mean 'opencv'"),
        ("crst", "opencv", "unknown parameter of tracker 'opencv' 'crst'; did you mean 'csrt'"),
        ("zzzzzz", None, "choose from .*csrt"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(parameter: str, tracker: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        registry.load_tracker(parameter, tracker)


def test_an_ambiguous_parameter_names_its_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "list_trackers", lambda: {"atom": ["default"], "static": ["default"]})
    with pytest.raises(UserError, match="atom, static"):
        registry.find_tracker("default")
    assert registry.find_tracker("default", "static") == ("static", "default")


def test_overrides_replace_fields_and_unknown_keys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Parameters:
        search_area_scale: float = 6.0
        image_size: int = 352

    module = types.SimpleNamespace(parameters=Parameters, __path__=[])
    monkeypatch.setattr(registry, "find_tracker", lambda parameter, tracker: ("t", parameter))
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: module)
    assert registry.load_parameters("p", image_size=288) == Parameters(image_size=288)
    with pytest.raises(UserError, match=r"t/p: .*'search_area'; did you mean 'search_area_scale'"):
        registry.load_parameters("p", search_area=5)


def test_import_is_light_and_names_are_exported() -> None:
    code = (
        "import sys, pytracking; "
        "assert not {'torch', 'cv2', 'numpy', 'matplotlib'} & set(sys.modules), sorted(sys.modules); "
        "assert set(pytracking.__all__) <= set(dir(pytracking)); "
        "[getattr(pytracking, name) for name in pytracking.__all__]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError):
        pytracking.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["pytracking", "pytracking.registry", "pytracking.evaluation.worker_process"])
def test_torch_and_pandas_are_not_imported_before_they_are_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
