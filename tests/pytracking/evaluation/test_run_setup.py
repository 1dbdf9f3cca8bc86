"""`python -m pytracking setup`: flags, questions, PyTracking's local.py, and a paths file that keeps the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ltr.admin.paths import dataset_path
from ltr.errors import EXIT_USER_ERROR, UserError, exit_status
from pytracking import run_setup
from pytracking.__main__ import main as package_main
from pytracking.evaluation.datasets import dataset_root
from pytracking.evaluation.pathsfile import KEYS, read_local_py, read_paths, write_paths


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The paths file, which is not there yet."""
    for name in KEYS:
        monkeypatch.delenv(f"EBM_TRACKING_{name.upper()}", raising=False)
    file = tmp_path / "config" / "paths.toml"
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(file))
    for name in ("otb", "lasot", 'odd "name" \\ ü'):
        (tmp_path / "data" / name).mkdir(parents=True)
    return file


def test_flags_make_a_file_that_is_found(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    odd = tmp_path / "data" / 'odd "name" \\ ü'
    assert package_main(["setup", "--set", f"otb={tmp_path}/data/otb", "--set", f"vot={odd}"]) == 0
    assert dataset_root("otb") == tmp_path / "data" / "otb"
    assert dataset_path("vot") == odd
    assert f"written to {file}" in capsys.readouterr().out


def test_the_rest_of_the_file_is_kept(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    file.write_text('# mine\ntitle = "x"\n\n[paths]  # folders\nnfs = "/nfs"\notb = "/old"\n\n[other]\notb = 3\n')
    run_setup.main(["--set", f"otb={tmp_path}/data/otb", "--set", f"lasot={tmp_path}/data/lasot"])
    assert file.read_text() == (
        f'# mine\ntitle = "x"\n\n[paths]  # folders\nnfs = "/nfs"\notb = "{tmp_path}/data/otb"\n'
        f'lasot = "{tmp_path}/data/lasot"\n\n[other]\notb = 3\n'
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[paths\n", "not valid TOML"),
        ("paths = 3\n", "'paths' is not a table"),
        ("a = " + "[" * 100_000 + "\n", "nested too deeply"),
        ("a = " + "9" * 5000 + "\n", "too many digits"),
        ("a." * 100_000 + "a = 1\n", "line 1: this TOML file is nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_changed_is_left(content: str, message: str, file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        run_setup.main(["--set", f"otb={tmp_path}/data/otb"])
    assert file.read_text() == content
    assert [path.name for path in file.parent.iterdir()] == ["paths.toml"]


def test_what_is_no_text_is_no_folder_and_is_left(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"[paths]\nnfs = 0x{'f' * 9999}\nuav = ['a']\n")
    assert read_paths(file) == {}
    run_setup.main(["--set", f"otb={tmp_path}/data/otb"])
    assert read_paths(file) == {"otb": f"{tmp_path}/data/otb"}
    assert "uav = ['a']" in file.read_text()


@pytest.mark.parametrize(
    "content",
    ['paths.nfs = "/nfs"\n', '[paths]\nnfs = """\notb = 3\n"""\n', 'paths = {nfs = "/nfs"}\n', "'paths'.nfs = '1'\n"],
)
def test_every_way_to_write_the_table_is_kept(content: str, file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    file.write_text(content)
    nfs = read_paths(file)["nfs"]
    run_setup.main(["--set", f"otb={tmp_path}/data/otb"])
    assert read_paths(file) == {"nfs": nfs, "otb": f"{tmp_path}/data/otb"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("otbb=/", "unknown data set 'otbb'; did you mean 'otb'"),
        ("otb", "expected NAME=FOLDER"),
        ("otb=", "expected NAME=FOLDER"),
        ("otb=/no/such/folder", "is not a folder"),
    ],
)
def test_a_wrong_setting_writes_nothing(
    setting: str, message: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    argv = ["--set", f"lasot={tmp_path}/data/lasot", "--set", setting]
    assert exit_status(lambda: run_setup.main(argv)) == EXIT_USER_ERROR
    assert message in capsys.readouterr().err
    assert not file.exists()


def answer(monkeypatch: pytest.MonkeyPatch, answers: Iterator[str]) -> list[str]:
    """Type `answers`, then end the input. Returns the questions as they come."""
    questions: list[str] = []

    def type_in(question: str) -> str:
        questions.append(question)
        text = next(answers, None)
        if text is None:
            raise EOFError
        return text

    monkeypatch.setattr("builtins.input", type_in)
    return questions


def test_questions(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    write_paths(file, {"nfs": Path("/kept")})
    questions = answer(monkeypatch, iter(["/no/such/folder", f" {tmp_path}/data/otb ", "", ""]))
    assert run_setup.main([]) == 0
    assert read_paths(file) == {"nfs": "/kept", "otb": f"{tmp_path}/data/otb"}
    assert [question.partition(",")[0] for question in questions] == ["otb", "otb", "nfs", "uav", "lasot"]
    assert "[/kept]" in questions[2]
    assert "/no/such/folder is not a folder" in capsys.readouterr().err


def test_no_answer_is_an_error_of_the_user(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, iter([]))
    with pytest.raises(UserError, match="no folder was given"):
        run_setup.main([])
    assert not file.exists()


EVALUATION = """from pytracking.evaluation.environment import EnvironmentSettings
raise SystemExit("executed")

def local_env_settings():
    settings = EnvironmentSettings()
    # Set your local paths here.
    settings.davis_dir = ''
    settings.network_path = '/home/me/networks/'    # Where tracking networks are stored.
    settings.otb_path = '/replaced'
    settings.otb_path = '{data}/otb'
    settings.nfs_path = '/no/such/folder'
    settings.uav_path = base + '/uav'
    return settings
"""

TRAINING = """class EnvironmentSettings:
    def __init__(self):
        self.workspace_dir = '/home/me/workspace'
        self.lasot_dir: str = '{data}/lasot'
        self.got10k_dir = self.workspace_dir
"""


def test_pytrackings_local_py_is_read_and_not_executed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    local, training = tmp_path / "local.py", tmp_path / "training.py"
    local.write_text(EVALUATION.replace("{data}", f"{tmp_path}/data"))
    training.write_text(TRAINING.replace("{data}", f"{tmp_path}/data"))
    assert run_setup.main(["--from_local", str(local), "--from_local", str(training)]) == 0
    assert read_paths(file) == {"otb": f"{tmp_path}/data/otb", "lasot": f"{tmp_path}/data/lasot"}
    err = capsys.readouterr().err
    assert "/no/such/folder, given for nfs, is not a folder; left out" in err
    assert f"{local}, line 12: the folder of uav is not a plain string; not read" in err
    assert f"{training}, line 5: the folder of got10k" in err
    assert f"{local}, line 8: network_path is left out; set EBM_TRACKING_NETWORKS" in err
    assert f"{training}, line 3: workspace_dir is left out" in err


def test_what_local_py_says_beside_data_sets_is_named(tmp_path: Path) -> None:
    local = tmp_path / "local.py"
    known = ("results_path", "result_plot_path", "network_path")
    names = (*known, "tnl2k_path", "tn_packed_results_path", "a_path", "b_dir", "c_dir")
    local.write_text("".join(f"settings.{name} = '/x'\n" for name in names) + "settings.d_path = ''\n")
    _, notes = read_local_py(local)
    assert [note.partition(": ")[2].partition(" is left out")[0] for note in notes[:3]] == list(known)
    assert len(notes) == 4
    assert f"tnl2k_path, tn_packed_results_path, a_path and 2 more ({local})" in notes[3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("settings.otb_path = \n", "line 1: not Python 3"),
        ("x = 1\n\nprint 'otb'\n", "line 3: not Python 3"),
        ("settings.results_path = '/'\n", "names no folder of a known data set"),
        ("x = " + "-" * 100_000 + "1\n", "nested too deeply"),
        ("x = " + "(" * 100_000 + "\n", "nested too deeply|not Python 3"),
        ("x = " + "+".join("1" * 50_000) + "\n", "nested too deeply|names no folder"),
        ("x = " + "9" * 5000 + "\n", "not Python 3"),
        ("x = 1\0\n", "not Python 3"),
    ],
)
def test_a_local_py_without_paths_is_refused(content: str, message: str, file: Path, tmp_path: Path) -> None:
    local = tmp_path / "local.py"
    local.write_text(content)
    with pytest.raises(UserError, match=message):
        run_setup.main(["--from_local", str(local)])
    assert not file.exists()
    with pytest.raises(UserError, match="no such file"):
        read_local_py(tmp_path / "none.py")


def test_an_environment_variable_that_wins_is_mentioned(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("EBM_TRACKING_OTB", str(tmp_path))
    run_setup.main(["--set", f"otb={tmp_path}/data/otb"])
    assert "EBM_TRACKING_OTB says" in capsys.readouterr().err


def test_an_unknown_place_names_this_command(file: Path) -> None:
    with pytest.raises(UserError, match="python -m pytracking setup"):
        dataset_root("otb")
