"""Sequences of odd pictures from the check to the result: 16 bits, damaged JPEGs, and files that claim to be huge."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltr.data import image as image_module
from ltr.dataset.boxfile import read_boxes
from ltr.errors import exit_status
from pytracking import run_check
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import trackerlist

CASES = Path(__file__).resolve().parents[2] / "data" / "pictures"


def write_sequence(folder: Path, count: int = 8) -> np.ndarray:
    """A target of 40 x 32 pixels on a busy ground that moves 4 pixels a frame, in 14 bits of a thermal camera."""
    (folder / "img").mkdir(parents=True)
    rng = np.random.default_rng(3)
    ground = cv2.resize(rng.integers(7150, 7500, (20, 26)).astype(np.uint16), (208, 160), interpolation=cv2.INTER_CUBIC)
    target = cv2.resize(rng.integers(7600, 7950, (4, 5)).astype(np.uint16), (40, 32), interpolation=cv2.INTER_NEAREST)
    boxes = np.array([[60 + 4 * k, 60 + 2 * k, 40, 32] for k in range(count)], dtype=float)
    for number, (x, y, w, h) in enumerate(boxes.astype(int), 1):
        image = ground.copy()
        image[y : y + h, x : x + w] = target
        assert cv2.imwrite(str(folder / "img" / f"{number:04d}.png"), image)
    np.savetxt(folder / "groundtruth_rect.txt", boxes, fmt="%g", delimiter=",")
    return boxes


def test_a_thermal_sequence_is_tracked_on_its_own_scale_which_is_written_down(tmp_path: Path) -> None:
    boxes = write_sequence(tmp_path / "data" / "thermal")
    sequences = get_dataset("folder", path=tmp_path / "data")
    (run,) = trackerlist("opencv", "csrt")
    assert run_dataset(sequences, [run], tmp_path / "results") == []
    folder = run.result_folder(tmp_path / "results")
    assert np.abs(read_boxes(folder / "thermal.txt") - boxes).max() < 8
    low, high = json.loads((folder / "thermal.json").read_text())["tracked"]["levels"]
    assert 7000 < low < 7200 and 7900 < high < 8100
    image = sequences[0].image(3)
    assert len(np.unique(image)) > 100 and np.array_equal(image[..., 0], image[..., 2])


def test_damaged_jpegs_are_found_by_check_and_named_once_by_tracking(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = tmp_path / "data" / "s" / "img"
    images.mkdir(parents=True)
    for number, name in enumerate(("0002.jpg", "0003.jpg"), 1):
        shutil.copy(CASES / name, images / f"{number:04d}.jpg")
    (images.parent / "groundtruth_rect.txt").write_text("60,80,40,32\n64,82,40,32\n")
    assert exit_status(lambda: run_check.main(["folder", "--dataset_path", str(tmp_path / "data")])) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if "is damaged" in line]
    assert len(found) == 2
    image_module._damaged.clear()
    sequences = get_dataset("folder", path=tmp_path / "data")
    for number in (1, 2):
        assert run_dataset(sequences, trackerlist("static", "default"), tmp_path / f"results{number}") == []
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2 and all("is damaged" in line for line in warnings)


def test_one_huge_picture_fails_its_sequence_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("bad", "good"):
        write_sequence(tmp_path / "data" / name, 3)
    header = bytearray((tmp_path / "data" / "bad" / "img" / "0002.png").read_bytes())
    header[16:24] = (50_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (tmp_path / "data" / "bad" / "img" / "0002.png").write_bytes(header)
    assert exit_status(lambda: run_check.main(["folder", "--dataset_path", str(tmp_path / "data")])) == 1
    out = capsys.readouterr().out
    assert "bad/img/0002.png claims " in out and "1 of 2 sequences are whole" in out
    failures = run_dataset(
        get_dataset("folder", path=tmp_path / "data"), trackerlist("static", "default"), tmp_path / "results"
    )
    assert [failure.sequence for failure in failures] == ["bad"] and "frame 2 of 3" in failures[0].message


def test_check_notes_what_is_unusual_about_a_video(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copy(CASES / "both.h264", tmp_path / "both.mp4")
    shutil.copy(CASES / "gaps.avi", tmp_path / "gaps.avi")
    for name in ("both", "gaps"):
        (tmp_path / f"{name}.txt").write_text("60,80,40,32\n" * 20)
    assert exit_status(lambda: run_check.main(["folder", "--dataset_path", str(tmp_path)])) == 0
    out = capsys.readouterr().out
    assert "both: size change: " in out and "frame 11 has 160 x 120 pixels" in out
    assert "2 of 2 sequences are whole" in out and "announces" not in out
    assert exit_status(lambda: run_check.main(["folder", "--notes", "--dataset_path", str(tmp_path)])) == 0
    assert "announces 25 frames; 20 can be seen" in capsys.readouterr().out
