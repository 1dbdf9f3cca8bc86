"""Zips for the servers of TrackingNet and GOT-10k: what is in them, and which results are never packed."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import mini_datasets as mini
import numpy as np
import pytest

from ltr.errors import EXIT_USER_ERROR, UserError, exit_status
from pytracking import run_pack
from pytracking.evaluation import packing
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.packing import pack_results
from pytracking.evaluation.results import RawResult, describe_run, save_result
from pytracking.evaluation.tracker import TrackerRun
from pytracking.tracker.opencv import OpenCVParameters

RUN = "opencv/kcf"
FIRST = "0-6LB4FqxoE_0"
GOT10K = [f"GOT-10k_Test_{number:06d}" for number in (1, 2, 3)]


def save_run(dataset: str, data: Path, root: Path, run_id: int | None = None, algorithm: str = "KCF") -> Path:
    """A complete run: boxes move by 1.23456 px a frame from the given one, 0.25 s a frame."""
    run = TrackerRun("opencv", "kcf", run_id)
    for sequence in get_dataset(dataset, path=data):
        count = len(sequence.frames)
        boxes = sequence.ground_truth_rect[:1] + 1.23456 * np.arange(count)[:, None]
        description = describe_run(run, OpenCVParameters(algorithm), None, sequence)
        save_result(run.result_folder(root), RawResult(boxes, np.full(count, 0.25)), description)
    return run.result_folder(root)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    mini.shorten(monkeypatch)
    monkeypatch.setitem(packing.COUNTS, "trackingnet", 3)


@pytest.fixture
def trackingnet(tmp_path: Path) -> Path:
    mini.write_trackingnet(tmp_path / "data")
    return save_run("trackingnet", tmp_path / "data", tmp_path / "results")


@pytest.fixture
def got10k(tmp_path: Path) -> Path:
    mini.write_got10k(tmp_path / "data")
    return save_run("got10k_test", tmp_path / "data", tmp_path / "results")


def pack(tmp_path: Path, server: str = "trackingnet", *runs: str) -> Path:
    output = tmp_path / "out" / "packed.zip"
    pack_results(server, list(runs) or [RUN], tmp_path / "results", output, tmp_path / "data")
    return output


def read_zip(path: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode().splitlines() for name in archive.namelist()}


def rewrite(folder: Path, name: str, line: int, text: str) -> None:
    """Change a line of a result, with a manifest that agrees: as a faulty tracker would have written it."""
    file = folder / f"{name}.txt"
    lines = file.read_text().splitlines()
    lines[line : line + 1] = [text] if text else []
    file.write_text("".join(f"{entry}\n" for entry in lines))
    change_manifest(folder, name, boxes_sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def change_manifest(folder: Path, name: str, **fields: object) -> None:
    file = folder / f"{name}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def refused(tmp_path: Path, match: str, server: str = "trackingnet", *runs: str) -> None:
    """The zip is refused with this message, and nothing is written."""
    with pytest.raises(UserError, match=match):
        pack(tmp_path, server, *runs)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("trackingnet")
def test_trackingnet_contents(tmp_path: Path) -> None:
    files = read_zip(pack(tmp_path))
    assert list(files) == [f"{FIRST}.txt", "0-tWxf5zuFs_0.txt", "zzz_1.txt"]
    for lines in files.values():
        assert len(lines) == 12
        assert lines[:3] == ["3.00,4.00,10.00,8.00", "4.23,5.23,11.23,9.23", "5.47,6.47,12.47,10.47"]


@pytest.mark.usefixtures("got10k")
def test_got10k_contents(tmp_path: Path) -> None:
    files = read_zip(pack(tmp_path, "got10k"))
    assert list(files) == [f"{name}/{name}_{kind}.txt" for name in GOT10K for kind in ("001", "time")]
    assert files[f"{GOT10K[0]}/{GOT10K[0]}_001.txt"] == [
        "3.0000,4.0000,10.0000,8.0000",
        "4.2346,5.2346,11.2346,9.2346",
        "5.4691,6.4691,12.4691,10.4691",
        "6.7037,7.7037,13.7037,11.7037",
    ]
    assert files[f"{GOT10K[0]}/{GOT10K[0]}_time.txt"] == ["0.25000000"] * 4


@pytest.mark.usefixtures("got10k")
def test_got10k_repetitions(tmp_path: Path) -> None:
    for run_id in range(2):
        save_run("got10k_test", tmp_path / "data", tmp_path / "results", run_id)
    files = read_zip(pack(tmp_path, "got10k", f"{RUN}_000", f"{RUN}_001", RUN))
    assert [name for name in files if name.startswith(GOT10K[1])] == [
        f"{GOT10K[1]}/{GOT10K[1]}_{kind}.txt" for kind in ("001", "002", "003", "time")
    ]
    assert files[f"{GOT10K[1]}/{GOT10K[1]}_time.txt"] == ["0.25000000,0.25000000,0.25000000"] * 4


def test_a_missing_result(tmp_path: Path, trackingnet: Path) -> None:
    (trackingnet / "zzz_1.txt").unlink()
    refused(tmp_path, r"opencv/kcf cannot be packed for trackingnet, 1 problem: .*zzz_1\.txt: no result$")


def test_many_problems_are_counted(tmp_path: Path, trackingnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_NAMED", 2)
    for file in trackingnet.glob("*.txt"):
        file.unlink()
    refused(tmp_path, r"3 problems: .*E_0\.txt: no result; .*s_0\.txt: no result; and 1 more$")


@pytest.mark.usefixtures("trackingnet")
def test_a_sequence_missing_from_the_data_set(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data" / "TEST" / "frames" / "zzz_1")
    (tmp_path / "data" / "TEST" / "anno" / "zzz_1.txt").unlink()
    refused(tmp_path, "2 sequences of trackingnet on disk, 3 expected")


@pytest.mark.usefixtures("got10k")
def test_frames_missing_from_the_data_set(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data" / "test" / GOT10K[2])
    refused(tmp_path, rf"1 problem: .*{GOT10K[2]}", "got10k")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, "", "12 times for 11 boxes"),
        (5, "1\tnan\t3\t4", r"line 6: the box is not finite"),
        (5, "1\t2\tinf\t4", r"line 6: not numbers"),
        (0, "3.0051\t4\t10\t8", r"the first box is \[3\.0051, .*given is \[3\.0,"),
        (0, "nan\t4\t10\t8", r"line 1: the box is not finite"),
    ],
)
def test_faulty_boxes(tmp_path: Path, trackingnet: Path, line: int, text: str, message: str) -> None:
    rewrite(trackingnet, FIRST, line, text)
    refused(tmp_path, rf"1 problem: .*{FIRST}(_time)?\.txt.*{message}")


def test_the_first_box_may_differ_by_rounding(tmp_path: Path, trackingnet: Path) -> None:
    rewrite(trackingnet, FIRST, 0, "3.0050\t3.9950\t10\t8")
    pack(tmp_path)


def test_got10k_first_box_is_held_to_four_decimals(tmp_path: Path, got10k: Path) -> None:
    rewrite(got10k, GOT10K[0], 0, "3.0001\t4\t10\t8")
    refused(tmp_path, "the first box is", "got10k")


def test_boxes_changed_after_the_run(tmp_path: Path, trackingnet: Path) -> None:
    with (trackingnet / f"{FIRST}.txt").open("a") as file:
        file.write("1\t2\t3\t4\n")
    refused(tmp_path, "changed or half written")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "foreign"}, "imported from another program"),
        ({"tracker": "dimp"}, "tracker is 'dimp', expected 'opencv'"),
        ({"parameter": "csrt"}, "parameter is 'csrt', in the folder of 'kcf'"),
        ({"sequence": "other"}, "sequence is 'other'"),
        ({"first_box": [1, 2, 3, 4]}, "first_box is"),
        ({"weights_sha256": "ab"}, "weights_sha256 differ"),
    ],
)
def test_results_that_are_not_of_this_run(
    tmp_path: Path, trackingnet: Path, fields: dict[str, object], message: str
) -> None:
    change_manifest(trackingnet, "zzz_1", **fields)
    refused(tmp_path, rf"1 problem: .*zzz_1.*{message}")


def test_results_without_a_manifest(tmp_path: Path, trackingnet: Path) -> None:
    (trackingnet / f"{FIRST}.json").unlink()
    refused(tmp_path, "no manifest: written by a killed run or by another program")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no times"),
        ("0.1\n0.1\n", "2 times for 4 boxes"),
        ("0.1\n0.1\nnan\n0.1\n", "line 3: a time is no number"),
    ],
)
def test_got10k_needs_times(tmp_path: Path, got10k: Path, text: str | None, message: str) -> None:
    file = got10k / f"{GOT10K[1]}_time.txt"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    refused(tmp_path, rf"{GOT10K[1]}_time\.txt.*{message}", "got10k")


@pytest.mark.usefixtures("got10k")
def test_repetitions_of_different_parameters(tmp_path: Path) -> None:
    save_run("got10k_test", tmp_path / "data", tmp_path / "results", 1, algorithm="CSRT")
    refused(tmp_path, "3 problems: .*its parameters differ", "got10k", RUN, f"{RUN}_001")


@pytest.mark.usefixtures("trackingnet")
@pytest.mark.parametrize(
    ("server", "runs", "message"),
    [
        ("trackingnett", [RUN], "trackingnet"),
        ("trackingnet", ["kcf"], "is not TRACKER/PARAMETERS"),
        ("trackingnet", ["../kcf"], "a tracker is named"),
        ("trackingnet", ["opencv/csrt"], "no results of opencv/csrt"),
        ("trackingnet", [RUN, RUN], "takes one run"),
        ("got10k", [RUN, RUN], "takes 1 to 3 different runs"),
    ],
)
def test_wrong_arguments(tmp_path: Path, server: str, runs: list[str], message: str) -> None:
    refused(tmp_path, message, server, *runs)


@pytest.mark.usefixtures("got10k")
def test_same_results_same_bytes(tmp_path: Path) -> None:
    first = pack(tmp_path, "got10k").read_bytes()
    for file in (tmp_path / "results").rglob("*.txt"):
        file.touch()
    assert pack(tmp_path, "got10k").read_bytes() == first


@pytest.mark.usefixtures("trackingnet")
def test_a_full_disk_keeps_the_old_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = pack(tmp_path)
    old = output.read_bytes()

    def fail(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(UserError, match=r"no space left to write .*packed\.zip; .*an older one is kept"):
            pack(tmp_path)
    assert [file.name for file in output.parent.iterdir()] == ["packed.zip"]
    assert output.read_bytes() == old


def test_command_line(tmp_path: Path, trackingnet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a.zip"
    argv = ["trackingnet", RUN, "--results", str(tmp_path / "results"), "--dataset_path", str(tmp_path / "data")]
    assert run_pack.main([*argv, "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"3 sequences packed: {output}\n"
    assert len(read_zip(output)) == 3
    (trackingnet / f"{FIRST}.txt").unlink()
    assert exit_status(lambda: run_pack.main([*argv, "--output", str(tmp_path / "b.zip")])) == EXIT_USER_ERROR
    assert capsys.readouterr().err.startswith("error: opencv/kcf cannot be packed")
    assert not (tmp_path / "b.zip").exists()
