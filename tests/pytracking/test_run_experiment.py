"""Experiments by name and as a cross product, the options of both scripts, and the progress display."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

import pytest

from ltr.dataset.boxfile import read_boxes
from ltr.errors import exit_status
from pytracking import run_experiment, run_report, run_tracker
from pytracking.analysis.extract import extract_scores
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.run_options import add_run_options, numbered_runs, report_names
from pytracking.evaluation.tracker import TrackerRun, trackerlist
from pytracking.experiments import examples
from pytracking.progress import progress_bar


def run(*arguments: str) -> int:
    return exit_status(lambda: run_experiment.main(list(arguments)))


def test_an_experiment_of_any_module(
    sequence_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "my_experiments.py").write_text(
        "from pytracking import get_dataset, trackerlist\n"
        "def both():\n    '''Two runs.\n\n    More.'''\n"
        f"    return trackerlist('static', 'default', range(2)), get_dataset('folder', path={str(sequence_root)!r})\n"
        "def needs(this):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert run("my_experiments") == 0
    assert capsys.readouterr().out.split() == ["both", "Two", "runs."]
    assert run("my_experiments", "both", "--results", str(tmp_path / "out")) == 0
    for folder in ("default_000", "default_001"):
        assert len(read_boxes(tmp_path / "out" / "static" / folder / "near.txt")) == 6
    assert run("my_experiments", "bath") == 2
    assert "did you mean 'both'" in capsys.readouterr().err


def test_a_cross_product_and_the_command_that_compares(
    sequence_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out; touch hurt"
    options = ["--datasets", "folder", "--dataset_path", str(sequence_root), "--sequence", "near", "--runs", "2"]
    assert run("--trackers", "static/default", "kcf", *options, "--results", str(out)) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == (
        "compare: python -m pytracking report static/default:0,1 opencv/kcf:0,1 --merge_results --dataset_name folder "
        f"--dataset_path {sequence_root} --sequence near --results '{out}'"
    )
    from pytracking import __main__ as package_main

    command = shlex.split(line.removeprefix("compare: python -m pytracking "))
    assert exit_status(lambda: package_main.main([*command, "--output", str(tmp_path / "plots")])) == 0
    printed = capsys.readouterr().out
    assert "±" in printed and "(1 sequence)" in printed
    assert (tmp_path / "plots" / "success_plot.png").exists()


def test_the_printed_commands_run_as_printed(
    sequence_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from pytracking import __main__ as package_main

    root = tmp_path / 'it\'s a "$root"; #1'
    for name in ("-dash", "s p", "q'u\"o"):
        shutil.copytree(sequence_root / "near", root / name)
    monkeypatch.chdir(tmp_path)
    place, out = ["--dataset_path", str(root)], "--results=-r e's"
    trackers = ["--trackers", "static/default=a=b c", "kcf"]
    commands = [
        ["experiment", *trackers, "--datasets", "folder", *place, out],
        ["experiment", *trackers, "--datasets", "folder", *place, "--sequence", "s p", "q'u\"o", out],
        ["experiment", *trackers, "--datasets", "folder", *place, "--sequence=-dash", out],
        ["run", "static", "default", "--dataset_name", "folder", *place, "--sequence", "0", "2", "--runs", "2", out],
        ["experiment", *trackers, "--datasets", "folder", "demo", "--sequence", "s p", "mug", out],
    ]
    monkeypatch.setenv("EBM_TRACKING_FOLDER", str(root))
    counts = []
    for command in commands:
        assert exit_status(lambda: package_main.main(command)) == 0  # noqa: B023
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("compare: ")]
        for line in lines:
            words = shlex.split(line.removeprefix("compare: python -m pytracking "))
            assert exit_status(lambda: package_main.main([*words, "--table"])) == 0  # noqa: B023
            printed = capsys.readouterr().out
            assert "a=b c" in printed or "--runs" in command
            counts.append(printed.partition("(")[2].partition(")")[0])
    assert counts == [f"{number} sequence{'s' * (number > 1)}" for number in (3, 2, 1, 2, 1, 1)]


def test_after_a_failure_the_printed_command_leaves_the_sequence_out(
    sequence_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (sequence_root / "near" / "img" / "0004.png").write_bytes(b"")
    options = ["--datasets", "folder", "--dataset_path", str(sequence_root), "--results", str(tmp_path / "out")]
    assert run("--trackers", "static/default", "kcf", *options) == 1
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].partition(" report ")[2])
    assert exit_status(lambda: run_report.main([*words, "--table"])) == 0
    assert "1 of 2 sequences left out, as they have no result: near" in capsys.readouterr().out


def test_options_of_a_cross_product_with_a_named_experiment(capsys: pytest.CaptureFixture) -> None:
    assert run("examples", "demo", "--sequence", "ball", "--runid", "2") == 2
    assert "leave --sequence --runid out" in capsys.readouterr().err


def test_runs_of_run_tracker(sequence_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = ["static", "default", "--dataset_name", "folder", "--dataset_path", str(sequence_root)]
    argv += ["--results", str(tmp_path), "--runs", "5"]
    assert exit_status(lambda: run_tracker.main(argv)) == 0
    assert "report static/default:0,1,2,3,4 --merge_results" in capsys.readouterr().out
    scores = extract_scores(
        trackerlist("static", "default", range(5)),
        get_dataset("folder", path=sequence_root),
        tmp_path,
        merge_results=True,
    )
    assert scores.auc.shape[-1] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an experiment"),
        (["--trackers", "kcf"], "name an experiment"),
        (["--trackers", "kcf", "opencv/kcf", "--datasets", "demo"], "names a tracker twice"),
        (["--trackers", "kfc", "--datasets", "demo"], "did you mean 'kcf'"),
        (["--trackers", "kcf", "--datasets", "demo", "--runs", "0"], "--runs must be at least 1"),
        (["--trackers", "kcf", "--datasets", "demo", "--runid", "-1"], "--runid must not be negative"),
        (["--trackers", "kcf", "--datasets", "demo", "--runs", "2", "--runid", "1"], "not both"),
        (["--trackers", "kcf", "--datasets", "demo", "--threads", "-1"], "--threads must be 0"),
        (["examples", "demo", "--runs", "2"], "leave --runs out"),
        (["exemples", "demo"], "did you mean 'examples'"),
        (["no.such", "demo"], "unknown module of experiments 'no.such'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_examples_name_what_there_is() -> None:
    from pytracking.registry import find_tracker

    for function in (examples.demo, examples.demo_runs):
        trackers, sequences = function()
        assert [find_tracker(run.parameter_name, run.name) for run in trackers]
        assert len(sequences) == 5
    assert {run.run_id for run in examples.demo_runs()[0]} == set(range(5))
    for parameter in (*examples._OBJECTIVES, "super_dimp"):
        find_tracker(parameter, "dimp")


def test_helpers() -> None:
    assert numbered_runs(None, None) == [None]
    assert numbered_runs(3, None) == [3]
    assert numbered_runs(None, 3) == [0, 1, 2]
    assert report_names([TrackerRun("a", "b"), TrackerRun("c", "d", 3)]) == ["a/b", "c/d:3"]
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    args = parser.parse_args(["--threads", "4", "--backend", "ray", "--gpus_per_worker", "0.5"])
    assert (args.threads, args.backend, args.gpus_per_worker) == (4, "ray", 0.5)


def test_progress_in_a_log_file_is_lines(capsys: pytest.CaptureFixture) -> None:
    with progress_bar(10, "static/default") as bar:
        for number in range(10):
            bar.update()
            bar.set_postfix_str(f"{number + 1}/10 sequences", refresh=False)
    err = capsys.readouterr().err
    assert "\r" not in err
    (line,) = err.splitlines()
    assert line.startswith("static/default: 10 of 10 frames, ")
    assert "frames/s" in line
    assert line.endswith("10/10 sequences")
