"""What `run_video` and `run_webcam` leave: as long as the input, never over another input's files, and a table."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ltr.data.video import count_frames, read_timed, video_frames
from ltr.dataset.boxfile import read_boxes
from ltr.errors import exit_status
from pytracking import run_video, run_webcam, select_box
from pytracking.evaluation.datasets import get_dataset
from pytracking.stream import annotate, choose_stem
from pytracking.tracker.base import TrackResult
from pytracking.tracker.static import StaticTracker
from pytracking.video import video_writer

CASES = Path(__file__).resolve().parents[1] / "data" / "pictures"
BOX = "60,80,40,32"


def run(video: Path, output: Path, *options: str, tracker: str = "static default") -> int:
    where = options or (f"--box={BOX}",)
    return exit_status(lambda: run_video.main([*tracker.split(), str(video), "--output", str(output), *where]))


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "frames", "seconds"),
    [
        ("gaps.avi", 20, 1.0),
        ("held.mkv", 20, 3.76),
        ("trimmed.mp4", 10, 0.4),
        ("rec.webm", 20, 0.764),
        ("both.h264", 20, 0.8),
        ("hflip.mp4", 20, 0.8),
    ],
)
def test_the_output_is_as_long_as_the_input(tmp_path: Path, name: str, frames: int, seconds: float) -> None:
    assert run(CASES / name, tmp_path) == 0
    stem = tmp_path / f"{Path(name).stem}_default"
    written = list(read_timed(stem.with_suffix(".mp4")))
    assert len(written) == frames == len(read_boxes(stem.with_suffix(".txt"))) == len(rows(stem.with_suffix(".csv")))
    assert written[-1].time + written[-1].duration == pytest.approx(seconds, abs=0.003)
    with av.open(str(stem.with_suffix(".mp4"))) as container:
        assert container.duration / av.time_base == pytest.approx(seconds, abs=0.003)
    assert {frame.image.shape for frame in written} == {(240, 320, 3)}


def test_a_target_is_tracked_on_through_a_change_of_size(tmp_path: Path) -> None:
    assert run(CASES / "both.h264", tmp_path, f"--box={BOX}", tracker="opencv csrt") == 0
    boxes = read_boxes(tmp_path / "both_csrt.txt")
    wanted = np.array([[60 + 4 * k, 80 + 2 * k, 40, 32] for k in range(20)])
    assert np.abs(boxes[:, :2] - wanted[:, :2])[8:].max() < 16, "the target moves on at the same pace"


def test_a_header_that_lies_tracks_what_is_there(tmp_path: Path) -> None:
    assert run(CASES / "stts.mp4", tmp_path, "--box=10,10,20,20") == 0
    assert len(read_boxes(tmp_path / "stts_default.txt")) == 12


def test_run_video_and_the_folder_data_set_see_the_same_frames(tmp_path: Path) -> None:
    shutil.copy(CASES / "trimmed.mp4", tmp_path / "clip.mp4")
    lines = [f"{60 + 4 * k},{80 + 2 * k},40,32" for k in range(10)]
    (tmp_path / "clip.txt").write_text("\n".join(lines))
    (sequence,) = get_dataset("folder", path=tmp_path)
    frames = list(read_timed(tmp_path / "clip.mp4"))
    assert len(sequence.frames) == len(frames) == 10
    assert all(np.array_equal(sequence.image(k), frame.image) for k, frame in enumerate(frames))


def test_two_videos_of_one_name_keep_their_results(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    videos = [tmp_path / "one" / "clip.mp4", tmp_path / "two" / "clip.mp4", tmp_path / "one" / "clip.mkv"]
    for video, case in zip(videos, ("trimmed.mp4", "hflip.mp4", "held.mkv")):
        video.parent.mkdir(exist_ok=True)
        shutil.copy(CASES / case, video)
    for video in (*videos, *videos):
        assert run(video, tmp_path / "out") == 0
        assert len(video_frames(video)) == int(capsys.readouterr().out.split()[0])
    names = sorted(path.name for path in (tmp_path / "out").glob("*.mp4"))
    assert names == ["clip_default.mp4", "clip_default_2.mp4", "clip_default_3.mp4"]
    sources = [json.loads((tmp_path / "out" / f"{name[:-4]}.json").read_text())["source"] for name in names]
    assert sources == [str(video) for video in videos]
    assert [len(read_boxes(tmp_path / "out" / f"{name[:-4]}.txt")) for name in names] == [10, 20, 20]


def test_a_full_disk_is_named_and_leaves_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: object, file: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match=r"full.*new\.json"):
        choose_stem(tmp_path, "new", None)
    assert not list(tmp_path.iterdir())


def test_results_of_unknown_origin_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "trimmed_default.txt").write_text("1\t2\t3\t4\n")
    (tmp_path / "trimmed_default_2.json").write_text("[" * 100_000)
    assert run(CASES / "trimmed.mp4", tmp_path) == 0
    assert (tmp_path / "trimmed_default.txt").read_text() == "1\t2\t3\t4\n"
    assert len(read_boxes(tmp_path / "trimmed_default_3.txt")) == 10
    taken = {choose_stem(tmp_path, "new", None).name for _ in range(3)}
    assert taken == {"new", "new_2", "new_3"}, "runs that start together"


def test_recordings_of_a_camera_do_not_overwrite_each_other(tmp_path: Path) -> None:
    argv = ["static", "default", "--box=20,24,28,24", "--camera", str(CASES / "trimmed.mp4"), "--output", str(tmp_path)]
    for _ in range(2):
        assert exit_status(lambda: run_webcam.main(argv)) == 0
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["webcam_default.txt", "webcam_default_2.txt"]


def test_the_box_as_pytracking_spells_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(CASES / "trimmed.mp4", tmp_path, "--optional_box", "60", "80", "40", "32") == 0
    assert read_boxes(tmp_path / "trimmed_default.txt")[0].tolist() == [60, 80, 40, 32]
    assert run(CASES / "trimmed.mp4", tmp_path, "--optional_box", "60", "x", "40", "32") == 2
    assert "four numbers" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["2024-01-01T10:22:33.mp4", "a%03d.mp4"])
def test_a_name_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shutil.copy(CASES / "trimmed.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert run(Path(name), tmp_path / "out") == 0
    assert count_frames(tmp_path / "out" / f"{name[:-4]}_default.mp4") == 10


def test_the_table_has_all_that_the_tracker_said(tmp_path: Path) -> None:
    assert run(CASES / "rec.webm", tmp_path, f"--box={BOX}", tracker="opencv kcf") == 0
    table = rows(tmp_path / "rec_kcf.csv")
    boxes = read_boxes(tmp_path / "rec_kcf.txt")
    assert list(table[0]) == ["frame", "seconds", "id", "x", "y", "w", "h", "score", "flag", "time"]
    assert [int(row["frame"]) for row in table] == list(range(1, 21))
    assert np.allclose([[float(row[key]) for key in "xywh"] for row in table], boxes, atol=0.01)
    assert table[0]["flag"] == "init" and float(table[-1]["seconds"]) == pytest.approx(0.763)
    described = json.loads((tmp_path / "rec_kcf.json").read_text())
    assert described["parameter"] == "kcf" and described["frames"] == 20 and described["levels"] is None


def test_the_levels_of_a_thermal_video_are_written_down(tmp_path: Path) -> None:
    scene = (7200 + 800 * np.random.default_rng(0).random((48, 64))).astype(np.uint16)
    with av.open(str(tmp_path / "thermal.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene, format="gray16le")))
        container.mux(stream.encode())
    assert run(tmp_path / "thermal.mkv", tmp_path, "--box=10,10,20,20") == 0
    low, high = json.loads((tmp_path / "thermal_default.json").read_text())["levels"]
    assert 7100 < low < 7200 and 8000 < high < 8100


def two_targets(path: Path) -> Path:
    """A video of 12 frames with two bright things that move apart."""
    with video_writer(path, Fraction(25)) as add:
        for k in range(12):
            image = np.random.default_rng(1).integers(0, 90, (120, 160, 3), dtype=np.uint8)
            image[20 + k : 50 + k, 30:70] = np.random.default_rng(2).integers(150, 255, (30, 40, 3), dtype=np.uint8)
            image[80 - k : 104 - k, 100:136] = np.random.default_rng(3).integers(150, 255, (24, 36, 3), dtype=np.uint8)
            add(image)
    return path


@pytest.mark.parametrize("tracker", ["opencv kcf", "dimp dimp_nceplus_lite"])
def test_several_targets_have_a_file_each_and_one_table(tmp_path: Path, tracker: str) -> None:
    video = two_targets(tmp_path / "pair.mp4")
    assert run(video, tmp_path / "out", "--box=30,20,40,30", "--box=100,80,36,24", tracker=tracker) == 0
    stem = f"pair_{tracker.split()[1]}"
    table = rows(tmp_path / "out" / f"{stem}.csv")
    assert [row["id"] for row in table] == ["1", "2"] * 12 and not (tmp_path / "out" / f"{stem}.txt").exists()
    for target, (box, step) in enumerate((((30, 20, 40, 30), 1), ((100, 80, 36, 24), -1)), 1):
        boxes = read_boxes(tmp_path / "out" / f"{stem}_target{target}.txt")
        wanted = np.array([[box[0], box[1] + step * k, *box[2:]] for k in range(12)], dtype=float)
        assert len(boxes) == 12 and np.abs(boxes - wanted).max() < 8
        own = [[float(row[key]) for key in "xywh"] for row in table if row["id"] == str(target)]
        assert np.allclose(own, boxes, atol=0.01)
    described = json.loads((tmp_path / "out" / f"{stem}.json").read_text())
    assert list(described["first_boxes"]) == ["1", "2"]
    assert count_frames(tmp_path / "out" / f"{stem}.mp4") == 12


def test_several_boxes_are_drawn_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([(30.0, 20.0, 40.0, 30.0), (100.0, 80.0, 36.0, 24.0)])
    seen: list[np.ndarray] = []

    def draw(image: np.ndarray) -> tuple[float, float, float, float]:
        seen.append(image.copy())
        return next(drawn)

    monkeypatch.setattr(select_box, "select_box", draw)
    video = two_targets(tmp_path / "pair.mp4")
    assert run(video, tmp_path / "out", "--targets", "2") == 0
    assert len(list((tmp_path / "out").glob("*_target*.txt"))) == 2
    assert not np.array_equal(seen[0], seen[1]), "the first box is shown while the second is drawn"


def test_one_bad_box_of_several_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = two_targets(tmp_path / "pair.mp4")
    assert run(video, tmp_path / "out", "--box=30,20,40,30", "--box=900,80,36,24") == 2
    assert "lies outside the image" in capsys.readouterr().err
    assert run(video, tmp_path / "out", "--targets", "0") == 2
    assert "--targets must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_targets_keep_their_colours() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    box, lost = (10.0, 30.0, 20.0, 20.0), (50.0, 30.0, 20.0, 20.0)
    both = annotate(image, {1: TrackResult(box, 0.5, "normal", 0), 2: TrackResult(lost, 0.5, "normal", 0)}, "x", 1)
    alone = annotate(image, {2: TrackResult(lost, 0.5, "normal", 0)}, "x", 2)
    assert both[40, 49].tolist() == alone[40, 49].tolist() != both[40, 9].tolist() != [0, 0, 0]


class Slow(StaticTracker):
    """Takes three frames' time for each, and loses the target for a while."""

    def track(self, image: np.ndarray) -> TrackResult:
        time.sleep(0.12)
        self.calls = getattr(self, "calls", 0) + 1
        return TrackResult(super().track(image).box, 0.5, "not_found" if self.calls in (2, 3) else "normal", 0.12)


def test_in_real_time_frames_are_skipped_rather_than_lagged_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("pytracking.registry.load_tracker", lambda parameter, name: Slow())
    assert run(CASES / "hflip.mp4", tmp_path, f"--box={BOX}", "--realtime") == 0
    out = capsys.readouterr().out
    table = rows(tmp_path / "hflip_default.csv")
    numbers = [int(row["frame"]) for row in table]
    assert numbers[0] == 1 and numbers[-1] == 20 and len(numbers) < 20 and numbers == sorted(set(numbers))
    assert f"{len(numbers)} frames ({20 - len(numbers)} skipped) kept" in out
    assert "the target is lost" in out and "the target is found again" in out
    written = list(read_timed(tmp_path / "hflip_default.mp4"))
    assert len(written) == len(numbers) == len(read_boxes(tmp_path / "hflip_default.txt"))
    assert [frame.time for frame in written] == pytest.approx([float(row["seconds"]) for row in table], abs=0.001)
    assert written[-1].time + written[-1].duration == pytest.approx(0.8, abs=0.003)


class Camera:
    """A camera of 100 frames a second that delivers 40 frames, and says that it delivers none a second."""

    count = 0

    def read(self) -> tuple[bool, np.ndarray]:
        time.sleep(0.01)
        self.count += 1
        return self.count <= 40, np.full((48, 64, 3), self.count, np.uint8)

    def get(self, _: int) -> float:
        return float("nan")

    def release(self) -> None:
        self.count = 1000


def test_a_camera_is_followed_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytracking.registry.load_tracker", lambda parameter, name: Slow())
    monkeypatch.setattr(run_webcam, "open_camera", lambda source: Camera())
    assert (
        exit_status(lambda: run_webcam.main(["static", "default", "--box=5,5,20,20", "--output", str(tmp_path)])) == 0
    )
    table = rows(tmp_path / "webcam_default.csv")
    numbers = [int(row["frame"]) for row in table]
    assert numbers[0] == 1 and numbers[-1] == 40 and len(numbers) < 20 and numbers == sorted(set(numbers))
    written = list(read_timed(tmp_path / "webcam_default.mp4"))
    assert [frame.time for frame in written] == pytest.approx([float(row["seconds"]) for row in table], abs=0.001)
