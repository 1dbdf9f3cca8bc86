"""Sequences of odd pictures from the check to the result: 16 bits, damaged JPEGs, and files that claim to be huge."""

from __future__ import annotations

import json
import shutil
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ltr.data import image as image_module
from ltr.dataset.boxfile import read_boxes
from ltr.errors import exit_status
from pytracking import run_check
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import trackerlist
from pytracking.video import video_writer

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


# How the axes of the stored picture, to the right and down, lie in the picture that is seen: EXIF's number (CIPA
# DC-008, 4.6.5), and the display matrix (a, b, c, d) of a video (ISO 14496-12, 8.5.2).
TURNS = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
SIZE, STORED = (64, 48), (8, 6, 16, 10)


def turned_box(orientation: int) -> list[int]:
    """Where `STORED` is seen of a picture of `SIZE`."""
    a, b, c, d = TURNS[orientation]
    x, y, w, h = STORED
    corners = [(a * u + c * v, b * u + d * v) for u in (x, x + w) for v in (y, y + h)]
    shift = max(0, -(a * SIZE[0] + c * SIZE[1])), max(0, -(b * SIZE[0] + d * SIZE[1]))
    (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*corners))
    return [left + shift[0], top + shift[1], right - left, bottom - top]


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["jpeg", "video"])
def test_a_box_lies_on_the_thing_however_the_picture_is_to_be_turned(
    tmp_path: Path, orientation: int, kind: str
) -> None:
    picture = np.full((SIZE[1], SIZE[0], 3), (30, 30, 200), np.uint8)
    x, y, w, h = STORED
    picture[y : y + h, x : x + w] = (220, 30, 30)
    annotation = ",".join(map(str, turned_box(orientation)))
    if kind == "jpeg":
        exif = Image.Exif()
        exif[274] = orientation
        (tmp_path / "s" / "img").mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "s" / "img" / "0001.jpg", exif=exif, quality=95, subsampling=0)
        (tmp_path / "s" / "groundtruth_rect.txt").write_text(annotation)
    else:
        with video_writer(tmp_path / "s.mp4", Fraction(25)) as add:
            add(picture)
        content = bytearray((tmp_path / "s.mp4").read_bytes())
        a, b, c, d = (value * (1 << 16) & 0xFFFFFFFF for value in TURNS[orientation])
        matrix = content.index(b"tkhd") + 44
        content[matrix : matrix + 20] = b"".join(value.to_bytes(4, "big") for value in (a, b, 0, c, d))
        (tmp_path / "s.mp4").write_bytes(content)
        (tmp_path / "s.txt").write_text(annotation)
    (sequence,) = get_dataset("folder", path=tmp_path)
    image = sequence.image(0).astype(int)
    red = image[..., 0] > image[..., 2]
    assert red.shape == (SIZE[::-1] if orientation < 5 else SIZE)
    x, y, w, h = sequence.ground_truth_rect[0].astype(int)
    assert red[y + 2 : y + h - 2, x + 2 : x + w - 2].all()
    red[y - 2 : y + h + 2, x - 2 : x + w + 2] = False
    assert not red.any()
