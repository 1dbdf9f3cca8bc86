"""Finding and creating trackers by name."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytracking
import pytracking.parameter
from ltr.admin.inputs import replace_fields
from ltr.errors import UserError
from pytracking import registry
from pytracking.evaluation.tracker import TrackerRun, results_root
from pytracking.features.augmentation import Augmentation
from pytracking.tracker.static import StaticTracker


def test_lists_trackers_with_their_parameters() -> None:
    trackers = pytracking.list_trackers()
    assert {"csrt", "kcf", "nano"} <= set(trackers["opencv"])
    assert trackers["static"] == ["default"]


def test_finds_the_tracker_of_a_parameter() -> None:
    assert registry.find_tracker("kcf") == registry.find_tracker("opencv/kcf") == ("opencv", "kcf")
    assert isinstance(pytracking.load_tracker("default", "static"), StaticTracker)


@pytest.mark.parametrize(
    ("parameter", "tracker", "message"),
    [
        ("kfc", None, "unknown parameter 'kfc'; did you mean 'kcf'"),
        ("kcf", "opncv", "unknown tracker 'opncv'; did you mean 'opencv'"),
        ("crst", "opencv", "unknown parameter of tracker 'opencv' 'crst'; did you mean 'csrt'"),
        ("zzzzzz", None, "choose from .*csrt"),
        ("clip.mp4", "opencv/kcf", "'opencv/kcf' is a tracker and its parameters: write opencv kcf"),
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

    monkeypatch.setattr(registry, "find_tracker", lambda parameter, tracker: ("t", parameter))
    monkeypatch.setattr(registry, "file_parameters", lambda parameter, tracker: Parameters())
    assert registry.load_parameters("p", image_size=288) == Parameters(image_size=288)
    with pytest.raises(UserError, match=r"t/p: .*'search_area'; did you mean 'search_area_scale'"):
        registry.load_parameters("p", search_area=5)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("iounet_k", "abc", "iounet_k must be int, such as 3, not 'abc'"),
        ("iounet_k", 2.5, "must be int"),
        ("box_refinement_iter", None, "must be int"),
        ("search_area_scale", [1], "must be float"),
        ("use_iou_net", "maybe", "must be bool"),
        ("use_iou_net", 1, "must be bool"),
        ("seed", "x", "must be int | None"),
        ("net_path", 3, "must be str | None"),
        ("augmentation", 3, "must be Augmentation"),
        ("box_refinement_step_length", (1e-3, "x"), "must be"),
    ],
)
def test_a_value_of_another_type_is_named(name: str, value: object, wanted: str) -> None:
    with pytest.raises(UserError, match=re.escape(wanted)):
        registry.load_parameters("dimp_nceplus_lite", **{name: value})


def test_a_value_that_a_network_states_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_learned", lambda path: {"search_area_scale": "wide"})
    with pytest.raises(UserError, match=r"dimp18.*search_area_scale must be float, such as"):
        registry.load_parameters("dimp18", net_path="x")


def test_values_that_mean_what_a_field_has_are_taken() -> None:
    given = {"search_area_scale": 5, "seed": None, "box_refinement_step_length": [1e-3, 1e-2], "net_path": Path("x")}
    # What reads the settings asks whether a step is a tuple.
    meant = given | {"box_refinement_step_length": (1e-3, 1e-2)}
    assert vars(registry.load_parameters("dimp18", **given)).items() >= meant.items()
    shifts = replace_fields(Augmentation(), {"relative_shift": [[0.1, 0.2], [0, 1]]}).relative_shift
    assert shifts == ((0.1, 0.2), (0, 1))


def test_own_parameters_are_functions_or_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "def one():\n    'Number one.'\n    return 1\n\ndef two():\n    return 2\n\ndef _help():\n    return 3\n"
    )
    (folder / "two.py").write_text("'The file goes before.'\ndef parameters():\n    return 22\n")
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(pytracking.parameter, "__path__", [*pytracking.parameter.__path__, str(tmp_path)])
    assert registry.list_trackers()["mine"] == ["broken", "one", "two"]
    assert [registry.file_parameters(name, "mine") for name in ("one", "two")] == [1, 22]
    assert registry.describe_parameters("mine", "one") == "Number one."
    assert registry.describe_parameters("mine", "two") == "The file goes before."
    with pytest.raises(ImportError, match="nothing_of_this_name"):
        registry.file_parameters("broken", "mine")


@pytest.mark.parametrize("wrong", [3, b"kcf", ["kcf"], {"kcf": 1}, Path("kcf"), 1.5])
@pytest.mark.parametrize(
    "call",
    [
        pytracking.load_tracker,
        lambda wrong: pytracking.load_tracker("kcf", wrong),
        pytracking.BatchTracker,
        pytracking.get_dataset,
        lambda wrong: pytracking.MultiTracker("kcf", color=wrong),
        lambda wrong: pytracking.trackerlist(wrong, "kcf"),
        lambda wrong: pytracking.trackerlist("opencv", "kcf", [wrong, "0"]),
    ],
)
def test_a_name_of_another_type_is_one_line(call: Callable[[Any], object], wrong: object) -> None:
    with pytest.raises(UserError) as caught:
        call(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [3, b"/tmp", ["/tmp"], 1.5])
@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: pytracking.get_dataset("demo", path=wrong),
        pytracking.read_result,
        results_root,
        TrackerRun("a", "b").result_folder,
    ],
)
def test_a_path_of_another_type_is_one_line(call: Callable[[Any], object], wrong: object) -> None:
    with pytest.raises(UserError, match=f"is given by text or a pathlib.Path, not by the {type(wrong).__name__}"):
        call(wrong)


def test_what_is_missing_or_of_another_type_is_one_line() -> None:
    for call in (pytracking.load_tracker, pytracking.get_dataset, pytracking.cv2_tracker):
        with pytest.raises(UserError, match="is named by text, not by the NoneType None"):
            call(None)
    with pytest.raises(UserError, match="images are given by target"):
        pytracking.BatchTracker("kcf").track([None])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown sequence of demo 'b'ball''; did you mean 'ball'"):
        pytracking.get_dataset("demo", sequences=b"ball")  # type: ignore[arg-type]
    assert [sequence.name for sequence in pytracking.get_dataset("demo", sequences=1)] == ["dog"]  # type: ignore[arg-type]


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
