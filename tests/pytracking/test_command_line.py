"""The command lines: as files and as modules, their lists, their exit statuses."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pytracking
from ltr.data.video import read_video
from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError, exit_status
from pytracking import __main__ as package_main
from pytracking import run_demo, run_tracker
from pytracking.evaluation.run_options import find_runs
from pytracking.evaluation.tracker import parse_runs

PACKAGE = Path(pytracking.__file__).parent
SCRIPTS = sorted(path.stem for path in PACKAGE.glob("run_*.py"))


def call(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, cwd=cwd)


def test_no_module_shadows_another_package() -> None:
    """`python pytracking/run_tracker.py` puts the package's folder first on the module search path."""
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__main__",
    }
    assert not names & set(sys.stdlib_module_names)
    # No script in that folder may import the package experiments (test_architecture.py), which pytracking has too.
    assert not names & (set(importlib.metadata.packages_distributions()) - {"experiments"})


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_the_options(script: str, capsys: pytest.CaptureFixture) -> None:
    main = importlib.import_module(f"pytracking.{script}").main
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert f"usage: {script}.py" in capsys.readouterr().out


@pytest.mark.parametrize("start", [("-m", "pytracking.run_tracker"), (str(PACKAGE / "run_tracker.py"),)])
def test_run_tracker_as_file_and_as_module(start: tuple[str, ...], sequence_root: Path, tmp_path: Path) -> None:
    options = ["--dataset_name", "folder", "--dataset_path", str(sequence_root), "--sequence", "near", "--runid", "2"]
    done = call(*start, "static", "default", *options, "--results", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(read_boxes(tmp_path / "out" / "static" / "default_002" / "near.txt")) == 6
    assert done.stdout.strip() == f"results: {Path('out/static/default_002')}"


def tracker_main(root: Path, *options: str) -> int:
    argv = ["--dataset_name", "folder", "--dataset_path", str(root), "--results", str(root.parent / "out"), *options]
    return exit_status(lambda: run_tracker.main(argv))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("opencv", "kfc"), "did you mean 'kcf'"),
        (("opncv", "kcf"), "did you mean 'opencv'"),
        (("opencv", "kcf", "--sequence", "naer"), "did you mean 'near'"),
        (("opencv", "kcf", "--dataset_name", "dmeo"), "did you mean 'demo'"),
        (("opencv", "kcf", "--dataset_path", "/no/such/folder"), "/no/such/folder: no such folder"),
    ],
)
def test_unknown_names_are_one_line(
    sequence_root: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert tracker_main(sequence_root, *options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("names", [("opencv/kcf",), ("kcf",)])
def test_one_name_will_do(sequence_root: Path, names: tuple[str, ...]) -> None:
    assert tracker_main(sequence_root, *names, "--sequence", "near") == 0
    assert (sequence_root.parent / "out" / "opencv" / "kcf" / "near.txt").exists()


def test_set_changes_a_parameter(sequence_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert tracker_main(sequence_root, "opencv", "kcf", "--sequence", "near", "--set", "algorithm=csrt") == 0
    manifest = json.loads((sequence_root.parent / "out" / "opencv" / "kcf" / "near.json").read_text())
    assert manifest["parameters"]["algorithm"] == "csrt"
    for given, message in (
        ("algorithm", "give KEY=VALUE"),
        ("algoritm=kcf", "did you mean 'algorithm'"),
        ("algorithm=3", "error: --set algorithm=3: opencv/kcf: algorithm must be str, such as 'kcf', not 3"),
    ):
        assert tracker_main(sequence_root, "opencv", "kcf", "--set", given) == 2
        assert message in capsys.readouterr().err


def test_a_failed_sequence_is_status_1(sequence_root: Path, capsys: pytest.CaptureFixture) -> None:
    (sequence_root / "near" / "img" / "0004.png").write_bytes(b"")
    assert tracker_main(sequence_root, "static", "default") == 1
    captured = capsys.readouterr()
    assert "failed: static/default on near: frame 4 of 6" in captured.err
    assert (sequence_root.parent / "out" / "static" / "default" / "group_far.txt").exists()


def test_debug_prints_every_frame(sequence_root: Path, capsys: pytest.CaptureFixture) -> None:
    assert tracker_main(sequence_root, "static", "default", "--sequence", "near", "--debug") == 0
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if line.startswith("near")]
    assert len(lines) == 6
    assert captured.err.count(" of 6 frames") <= 2
    assert "20.00" in lines[0]
    assert "init" in lines[0]


def test_demo_writes_a_report_tables_plots_and_video(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["--trackers", "static/default", "--sequence", "mug", "--output", str(tmp_path)]
    assert exit_status(lambda: run_demo.main(argv)) == 0
    out = capsys.readouterr().out
    assert "static box" in out
    assert "31.1" in out
    written = [line.strip() for line in out.partition("written (open the first one in a browser):\n")[2].splitlines()]
    assert all(Path(path).exists() for path in written)
    assert Path(written[0]).name == "report.html"
    page = Path(written[0]).read_text()
    assert "static box" in page and '"sequence":"mug"' in page, "the page plays the clip"
    assert "python -m pytracking demo --trackers static/default" in page
    assert {Path(path).name for path in written} >= {"success_plot.png", "prec_plot.png", "demo.mp4", "demo_frames.jpg"}
    frames = list(read_video(tmp_path / "demo.mp4"))
    assert len(frames) == 96
    assert frames[0].shape == (360 + 24, 640, 3)


def test_demo_reports_a_tracker_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from pytracking.tracker.static import StaticTracker

    def fails(self: StaticTracker, image: object) -> None:
        raise RuntimeError("deliberate")

    monkeypatch.setattr(StaticTracker, "track", fails)
    argv = ["--trackers", "static/default", "--sequence", "mug", "--output", str(tmp_path), "--no_video"]
    assert exit_status(lambda: run_demo.main(argv)) == 1
    assert "failed: static box on mug: RuntimeError: deliberate" in capsys.readouterr().err


def test_demo_trackers_by_name() -> None:
    assert [run.label for run in find_runs(["kcf=K C F", "static/default"])] == ["K C F", "static/default"]
    assert [run.label for run in find_runs(["kcf"], (0, 2))] == ["opencv/kcf_000", "opencv/kcf_002"]
    assert {run.label for run in find_runs(run_demo.DEFAULT_TRACKERS)} == set(run_demo._DISPLAY_NAMES)
    with pytest.raises(UserError, match="names a tracker twice: opencv/kcf"):
        find_runs(["kcf", "opencv/kcf=other"])
    with pytest.raises(UserError, match="did you mean 'csrt'"):
        find_runs(["crst"])


def test_report(sequence_root: Path, capsys: pytest.CaptureFixture) -> None:
    assert tracker_main(sequence_root, "static", "default", "--runid", "0") == 0
    capsys.readouterr()
    data = [
        "--dataset_name",
        "folder",
        "--dataset_path",
        str(sequence_root),
        "--results",
        str(sequence_root.parent / "out"),
    ]
    argv = ["report", "static/default:0=Static", *data, "--output", str(sequence_root.parent / "plots" / "folder")]
    assert exit_status(lambda: package_main.main(argv)) == 0
    out = capsys.readouterr().out
    assert "Static" in out
    assert "protocol pytracking" in out
    assert exit_status(lambda: package_main.main([*argv[:2], *argv[1:]])) == 0
    assert capsys.readouterr().out == out, "the same tracker twice is shown once"
    assert (sequence_root.parent / "plots" / "folder" / "norm_prec_plot.pdf").exists()

    assert tracker_main(sequence_root, "static", "default", "--runid", "1") == 0
    capsys.readouterr()
    both = ["report", "static/default:0=One", "static/default:1=Two", *argv[2:]]
    page = sequence_root.parent / "page.html"
    chosen = ["--against", "One", "--table", "--html", str(page)]
    assert exit_status(lambda: package_main.main([*both, *chosen])) == 0
    assert "AUC against One" in capsys.readouterr().out
    assert "default-src 'none'" in page.read_text() and '"Two"' in page.read_text()
    assert exit_status(lambda: package_main.main([*both, "--attributes"])) == 2
    assert "no attributes are known" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["kcf", "/kcf", "opencv/", "opencv/kcf:a", "opencv/kcf:1,,2"])
def test_report_refuses_other_names(text: str) -> None:
    with pytest.raises(UserError, match="TRACKER/PARAMETERS"):
        parse_runs(text)


def test_report_names_runs() -> None:
    runs = parse_runs("dimp/dimp50:0,12=DiMP")
    assert [(run.name, run.parameter_name, run.run_id, run.display_name) for run in runs] == [
        ("dimp", "dimp50", 0, "DiMP"),
        ("dimp", "dimp50", 12, "DiMP"),
    ]


def test_lists(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert package_main.main(["trackers"]) == 0
    out = capsys.readouterr().out
    assert "opencv kcf " in out
    assert "The box that never moves" in out

    assert package_main.main(["datasets"]) == 0
    out = capsys.readouterr().out
    assert "demo 5 sequences" in " ".join(out.split())
    assert out.count("EBM_TRACKING_OTB=/folder") == out.count("paths.toml") == 1, "the advice is given once"
    assert "uav not set up" in " ".join(out.split())
    damaged = tmp_path / "paths.toml"
    damaged.write_text("[paths")
    with monkeypatch.context() as patch, pytest.raises(UserError, match="not valid TOML"):
        patch.setenv("EBM_TRACKING_PATHS", str(damaged))
        package_main.main(["datasets"])

    monkeypatch.setenv("EBM_TRACKING_NETWORKS", str(tmp_path))
    for name, card in [
        ("one", '{"recipe_name": "dimp/one", "measured": {"demo": {"auc": 51.26, "sequences": 5}}}'),
        ("two", "{"),
        ("three", "[]"),
        ("four", None),
    ]:
        (tmp_path / f"{name}.safetensors").write_bytes(b"0" * 1000)
        if card is not None:
            (tmp_path / f"{name}.json").write_text(card)
    assert package_main.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "2.3" in next(line for line in out.splitlines() if line.startswith("dimp_nceplus_lite"))
    assert "without weights here: atom_default" in out
    for part in (
        "recipe dimp/one, AUC 51.3 on demo (5)",
        "damaged",
        "two.json, line 1: not JSON",
        "three.json: not a JSON object",
        "no card beside it",
    ):
        assert part in out


def test_no_model_at_hand(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pytracking.networks", "pytracking.run_models"):
        monkeypatch.setattr(f"{module}.network_folders", lambda: [tmp_path])
    assert package_main.main(["models"]) == 0
    assert f"no trained network in {tmp_path}" in capsys.readouterr().out


def test_package_help(capsys: pytest.CaptureFixture) -> None:
    assert package_main.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(
        name in out for name in ("trackers", "models", "datasets", "run", "report", "video", "vot", "webcam", "demo")
    )
    assert package_main.main(["trackers", "--help"]) == 0
    assert package_main.main([]) == 2
    with pytest.raises(UserError, match="unknown command 'traker'; did you mean 'trackers'"):
        package_main.main(["traker"])
    with pytest.raises(UserError, match="takes no arguments"):
        package_main.main(["trackers", "x"])


REPORT = ("-m", "pytracking", "report", "opencv/kcf", "--sequence", "mug", "--play", "none")
RAW = Path(__file__).resolve().parents[1] / "data" / "demo_results"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    # The size limit of files stands in for a full disk.
    shell = f'ulimit -f 8; exec "{sys.executable}" "$@"'
    for option, name in (("--html", "report.html"), ("--plots", "success_plot.png")):
        options = ["--results", str(RAW), "--output", str(tmp_path), option]
        done = subprocess.run(["bash", "-c", shell, "report", *REPORT, *options], capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ") and f"{tmp_path / name}: " in last
    assert not list(tmp_path.iterdir())


def test_an_unknown_backend_of_matplotlib_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, *REPORT, "--results", str(RAW), "--output", str(tmp_path)]
    environment = {**os.environ, "MPLBACKEND": "nonsense"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "MPLBACKEND" in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_closed_descriptors(tmp_path: Path, closed: str) -> None:
    options = ["--results", str(RAW), "--output", str(tmp_path), "--html"]
    command = ["bash", "-c", f'exec "$@" {closed}', "report", sys.executable, *REPORT[:-1], "mug", *options]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
