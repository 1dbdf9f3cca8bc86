"""One sequence that is wrong fails by itself; the others are read and tracked, and the end says which failed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mini_datasets as mini
import pytest

from ltr.errors import UserError, exit_status
from pytracking import run_tracker
from pytracking.__main__ import datasets_text
from pytracking.evaluation.datasets import describe_dataset, get_dataset, read_dataset

CASES = Path(__file__).parents[2] / "data" / "cases"


def write_sequence(folder: Path, boxes: int = 3) -> None:
    mini.write_frames(folder / "img", [f"{number}.jpg" for number in range(1, 4)], mini.jpeg())
    mini.write_boxes(folder / "groundtruth_rect.txt", boxes)


def too_few_boxes(root: Path) -> str:
    write_sequence(root / "odd", 2)
    return "2 boxes for 3 frames"


def a_pipe(root: Path) -> str:
    write_sequence(root / "odd")
    (root / "odd" / "groundtruth_rect.txt").unlink()
    os.mkfifo(root / "odd" / "groundtruth_rect.txt")
    return "is a pipe, a socket or a device"


def a_folder(root: Path) -> str:
    write_sequence(root / "odd")
    (root / "odd" / "groundtruth_rect.txt").unlink()
    (root / "odd" / "groundtruth_rect.txt").mkdir()
    return "is a folder, not a file"


def a_long_name(root: Path) -> str:
    write_sequence(root / ("x" * 250))
    return "a name of 250 bytes"


def a_name_that_is_no_utf8(root: Path) -> str:
    write_sequence(root / os.fsdecode(b"caf\xe9"))
    return "not valid UTF-8"


def a_control_character(root: Path) -> str:
    write_sequence(root / "a\x1b[31m\nb")
    return "control character"


def no_frames(root: Path) -> str:
    write_sequence(root / "odd")
    shutil.rmtree(root / "odd" / "img")
    return "no such folder of frames"


def two_videos(root: Path) -> str:
    mini.write_boxes(root / "odd" / "groundtruth.txt", 3)
    for name in ("a.mp4", "b.mp4"):
        (root / "odd" / name).write_bytes(b"no video")
    return "belongs to which video"


def no_video(root: Path) -> str:
    mini.write_boxes(root / "odd.txt", 3)
    (root / "odd.mp4").write_bytes(b"no video")
    return "odd.mp4"


def an_undecodable_image(root: Path) -> str:
    write_sequence(root / "odd")
    (root / "odd" / "img" / "1.jpg").write_bytes(b"\xff\xd8 no image")
    return "1.jpg"


FAULTS = [
    too_few_boxes,
    a_pipe,
    a_folder,
    a_long_name,
    a_name_that_is_no_utf8,
    a_control_character,
    no_frames,
    two_videos,
    no_video,
    an_undecodable_image,
]


@pytest.mark.parametrize("harm", FAULTS, ids=lambda harm: harm.__name__)
def test_the_others_are_tracked(harm: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root, results = tmp_path / "data", tmp_path / "results"
    write_sequence(root / "good")
    message = harm(root)
    argv = ["static", "default", "--dataset_name", "folder", "--dataset_path", str(root), "--results", str(results)]
    assert exit_status(lambda: run_tracker.main(argv)) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert len(said) == 1 and message in said[0] and said[0].isprintable()
    assert len((results / "static" / "default" / "good.txt").read_text().splitlines()) == 3
    assert not [path for path in results.rglob("*") if path.is_file() and not path.name.startswith("good")]


def test_frames_named_by_digits_of_any_script_are_frames(tmp_path: Path) -> None:
    shutil.copytree(CASES / "circled-names", tmp_path / "circled")
    write_sequence(tmp_path / "arabic")
    for number, name in enumerate(("\u0661", "\u00b2", "\u2462"), start=1):
        (tmp_path / "arabic" / "img" / f"{number}.jpg").rename(tmp_path / "arabic" / "img" / f"{name}.jpg")
    arabic, circled = get_dataset("folder", path=tmp_path)
    assert [frame.stem for frame in circled.frames] == ["①", "②", "③"]
    assert len(arabic.frames) == 3


def test_a_number_of_thousands_of_digits_is_no_hindrance(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a")
    (tmp_path / "a" / "img" / "3.jpg").rename(tmp_path / "a" / "img" / f"{'9' * 200}.jpg")
    assert [len(frame.stem) for frame in get_dataset("folder", path=tmp_path)[0].frames] == [1, 1, 200]


def test_sequences_that_would_share_a_file_are_refused_before_the_run(tmp_path: Path) -> None:
    for name in ("ball", "ball_time", "dog", "cat_time"):
        write_sequence(tmp_path / name)
    for chosen in (None, ["ball"], ["ball_time"]):
        with pytest.raises(UserError, match=r"'ball' and 'ball_time' would share the result file ball_time\.txt"):
            get_dataset("folder", path=tmp_path, sequences=chosen)
    assert len(get_dataset("folder", path=tmp_path, sequences=["dog", "cat_time"])) == 2
    # A group may make such a pair, too.
    write_sequence(tmp_path / "dog" / "time")
    with pytest.raises(UserError, match=r"dog_time\.txt"):
        get_dataset("folder", path=tmp_path, sequences=["dog"])


def test_a_partial_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini.shorten(monkeypatch)
    root = tmp_path / "otb"
    mini.write_otb(root)
    monkeypatch.setenv("EBM_TRACKING_OTB", str(root))
    assert describe_dataset("otb") == "100 sequences"
    for folder in sorted(root.iterdir()):
        if folder.name not in ("Boy", "Car1", "Couple"):
            shutil.rmtree(folder)
    assert describe_dataset("otb") == "3 of 100 sequences"
    assert "3 of 100 sequences" in datasets_text()
    with pytest.raises(UserError, match=r"3 of 100 sequences are there, .* and 94 more; --skip_missing"):
        get_dataset("otb")
    assert [one.name for one in get_dataset("otb", sequences=["Couple"])] == ["Couple"]
    assert {one.name for one in get_dataset("otb", skip_missing=True)} == {"Boy", "Car1", "Couple"}
    (root / "Boy" / "groundtruth_rect.txt").write_text("1,2,3\n")
    reading = read_dataset("otb", skip_missing=True)
    assert len(reading.sequences) == 2 and list(reading.unreadable) == ["Boy"] and len(reading.skipped) == 97
    with pytest.raises(UserError, match=r"Boy/groundtruth_rect\.txt, line 1"):
        get_dataset("otb", skip_missing=True)
    with pytest.raises(UserError, match="0 of 100 sequences are there"):
        get_dataset("otb", path=tmp_path, skip_missing=True)


def test_a_partial_copy_without_a_list_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini.write_trackingnet(tmp_path)
    monkeypatch.setenv("EBM_TRACKING_TRACKINGNET", str(tmp_path))
    assert describe_dataset("trackingnet") == "3 of 511 sequences"
