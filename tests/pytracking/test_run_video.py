"""Tracking video files and cameras: what was tracked is kept, whatever ends it."""

from __future__ import annotations

import errno
import itertools
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltr.data.video import VideoFrame, read_video
from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError, exit_status
from pytracking import run_video, run_webcam, select_box, stream
from pytracking.registry import load_tracker
from pytracking.stream import annotate, finish, track_stream
from pytracking.tracker.base import BoxUncertainty, TrackResult
from pytracking.tracker.static import StaticTracker
from pytracking.video import video_writer

BOX = (20.0, 24.0, 28.0, 24.0)


@pytest.fixture
def clip(tmp_path: Path, square_frames: list[np.ndarray]) -> Path:
    """A clip of 24 frames."""
    path = tmp_path / "clip.mkv"
    with video_writer(path, Fraction(25)) as add:
        for image in itertools.chain(*[square_frames] * 4):
            add(image)
    return path


def run(clip: Path, output: Path, box: str | None = "20,24,28,24", tracker: str = "opencv kcf") -> int:
    argv = [*tracker.split(), str(clip), "--output", str(output)]
    return exit_status(lambda: run_video.main(argv if box is None else [*argv, f"--box={box}"]))


def test_video_and_boxes_are_written(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(clip, tmp_path / "out") == 0
    boxes = read_boxes(tmp_path / "out" / "clip_kcf.txt")
    assert boxes[0].tolist() == list(BOX)
    assert np.abs(boxes[5] - np.array([30, 24, 28, 24])).max() <= 4
    assert len(list(read_video(tmp_path / "out" / "clip_kcf.mp4"))) == len(boxes) == 24
    out = capsys.readouterr().out
    assert "24 frames kept in" in out
    assert "frames a second" in out


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("1,2,3", "four numbers"),
        ("1_0,2,3,4", "four numbers"),
        ("\u0661,2,3,4", "four numbers"),
        ("1,2,3,1e400", "four numbers"),
        ("20,24,0,24", "is empty"),
        ("nan,24,28,24", "not finite"),
        ("100,24,28,24", "lies outside the image of 96 x 72"),
    ],
)
def test_bad_boxes(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture, box: str, message: str) -> None:
    assert run(clip, tmp_path / "out", box) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_debug_2_says_where_the_pictures_of_each_frame_are(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = [str(clip), "--box=20,24,28,24", "--debug=2", "--output", str(tmp_path / "out")]
    assert exit_status(lambda: run_video.main(["dimp", "dimp_nceplus_lite", *options])) == 0
    folder = tmp_path / "out" / f"{clip.stem}_dimp_nceplus_lite_inside"
    assert str(folder) in capsys.readouterr().out
    assert (folder / "target0_0002.png").stat().st_size > 10_000
    assert exit_status(lambda: run_video.main(["opencv", "kcf", *options])) == 2
    assert "--debug 2 draws one target" in capsys.readouterr().err


def test_bad_names_and_files(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(clip, tmp_path / "out", tracker="opencv kfc") == 2
    assert "did you mean 'kcf'" in capsys.readouterr().err
    assert run(clip, tmp_path / "out", tracker="open kcf") == 2
    assert "did you mean 'opencv'" in capsys.readouterr().err
    assert run(tmp_path / "none.mp4", tmp_path / "out") == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.mp4'}: no such video\n"


def test_a_truncated_video_keeps_what_was_tracked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = tmp_path / "clip.mkv"
    rng = np.random.default_rng(0)
    with video_writer(clip, Fraction(25)) as add:
        for _ in range(30):
            add(np.kron(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 7 // 10])
    assert run(clip, tmp_path / "out", tracker="static default") == 2
    boxes = read_boxes(tmp_path / "out" / "clip_default.txt")
    assert 3 < len(boxes) < 30
    assert len(list(read_video(tmp_path / "out" / "clip_default.mp4"))) == len(boxes)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {clip}: ")
    assert f"; {len(boxes)} frames kept in {tmp_path / 'out' / 'clip_default.mp4'} and" in last


def test_without_a_box_one_is_drawn(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_box, "select_box", lambda image: BOX)
    assert run(clip, tmp_path / "out", box=None) == 0
    assert read_boxes(tmp_path / "out" / "clip_kcf.txt")[0].tolist() == list(BOX)


def timed(images: list[np.ndarray]) -> Iterator[VideoFrame]:
    """The images as frames of a video of 25 frames a second."""
    return (VideoFrame(number, image, (number - 1) / 25, 1 / 25) for number, image in enumerate(images, 1))


def frames_then(error: BaseException, square_frames: list[np.ndarray]) -> Iterator[VideoFrame]:
    yield from timed(square_frames)
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("deliberate"), UserError("the end")])
def test_whatever_ends_the_stream_the_files_are_complete(
    tmp_path: Path, square_frames: list[np.ndarray], error: BaseException, capsys: pytest.CaptureFixture
) -> None:
    tracker = load_tracker("default", "static")
    tracked = track_stream(
        frames_then(error, square_frames), tracker, BOX, tmp_path / "s", label="static", rate=Fraction(25)
    )
    assert (tracked.frames, tracked.stopped_by) == (6, error)
    assert tracked.video is not None
    assert len(list(read_video(tracked.video))) == 6
    assert tracked.boxes is not None
    assert len(read_boxes(tracked.boxes)) == 6
    with pytest.raises(type(error)):
        finish(tracked, 0.0)
    if not isinstance(error, UserError):
        assert "6 frames kept in" in capsys.readouterr().out


def test_a_tracker_that_breaks_down_keeps_its_boxes(tmp_path: Path, square_frames: list[np.ndarray]) -> None:
    class Breaks(StaticTracker):
        def track(self, image: np.ndarray) -> TrackResult:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        track_stream(timed(square_frames), Breaks(), BOX, tmp_path / "s", label="broken", rate=Fraction(25))
    assert read_boxes(tmp_path / "s.txt").tolist() == [list(BOX)]


def test_nothing_tracked_leaves_earlier_files_alone(tmp_path: Path, square_frames: list[np.ndarray]) -> None:
    (tmp_path / "s.mp4").write_text("earlier")
    tracked = track_stream(
        timed(square_frames),
        load_tracker("default", "static"),
        (500, 500, 9, 9),
        tmp_path / "s",
        label="x",
        rate=Fraction(25),
    )
    assert tracked.kept == "nothing was tracked"
    assert (tmp_path / "s.mp4").read_text() == "earlier"
    with pytest.raises(UserError, match=r"outside the image.*; nothing was tracked"):
        finish(tracked, 0.0)


def test_a_full_disk_keeps_the_boxes(clip: Path, tmp_path: Path) -> None:
    """With a real limit on the size of files, in a process of its own."""
    code = f"""
        import resource, sys
        from pytracking import run_video
        from ltr.errors import exit_status
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        argv = ["static", "default", {str(clip)!r}, "--box=20,24,28,24", "--output", {str(tmp_path / "out")!r}]
        sys.exit(exit_status(lambda: run_video.main(argv)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"error: no space left to write {tmp_path / 'out' / 'clip_default.mp4'}; the video is given up"
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["clip_default.txt"]
    assert f"; {len(read_boxes(tmp_path / 'out' / 'clip_default.txt'))} frames kept in" in last


def test_no_space_for_the_boxes_is_said(
    tmp_path: Path, square_frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(stream, "write_text", full)
    with pytest.raises(UserError, match=r"no space left to write .*s\.txt"):
        track_stream(timed(square_frames), StaticTracker(), BOX, tmp_path / "s", label="x", rate=Fraction(25))


def test_a_lost_target_is_drawn_apart(square_frames: list[np.ndarray]) -> None:
    found = annotate(square_frames[0], {1: TrackResult(BOX, 0.5, "normal", 0.0)}, "kcf", 1)
    lost = annotate(square_frames[0], {1: TrackResult(BOX, 0.1, "not_found", 0.0)}, "kcf", 1)
    assert not np.array_equal(found, lost)
    assert np.array_equal(square_frames[0], square_frames[0].copy())


def test_uncertainty_is_an_ellipse_and_the_score_map_a_corner(square_frames: list[np.ndarray]) -> None:
    plain = annotate(square_frames[0], {1: TrackResult(BOX, 0.5, "normal", 0.0)}, "kcf", 1)
    sure = TrackResult(BOX, 0.5, "normal", 0.0, BoxUncertainty(2.0, 4.0, 1.0, 1.0, 0.0))
    rows, columns = np.nonzero((annotate(square_frames[0], {1: sure}, "kcf", 1, True) != plain).any(axis=2))
    assert np.array_equal(annotate(square_frames[0], {1: sure}, "kcf", 1), plain)
    # Two deviations around (34, 36), and a pixel for the smooth line.
    assert abs(columns.min() - 29.5) <= 1.5 and abs(columns.max() - 37.5) <= 1.5
    assert abs(rows.min() - 27.5) <= 1.5 and abs(rows.max() - 43.5) <= 1.5
    scores = np.zeros((9, 9), np.float32)
    scores[0, 0] = 1
    corner = annotate(square_frames[0], {1: TrackResult(BOX, 0.5, "normal", 0.0)}, "kcf", 1, scores=scores)
    assert np.array_equal(corner[:-18], plain[:-18]) and np.array_equal(corner[:, :-18], plain[:, :-18])
    assert corner[-18, -18].tolist() == [253, 231, 37] and corner[-1, -1].tolist() == [68, 1, 84]


def test_the_tracker_s_score_map_and_uncertainty_are_drawn(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    box, drawn = "--box=20,24,28,24", ("--uncertainty", "--score_map")
    lite = ["dimp", "dimp_nceplus_lite", str(clip), box]
    videos = []
    for output, options in {"plain": (), "drawn": drawn}.items():
        argv = [*lite, *options, "--output", str(tmp_path / output)]
        assert exit_status(partial(run_video.main, argv)) == 0
        videos.append(list(read_video(tmp_path / output / "clip_dimp_nceplus_lite.mp4")))
    texts = [(tmp_path / name / "clip_dimp_nceplus_lite.txt").read_text() for name in ("plain", "drawn")]
    assert texts[0] == texts[1]
    assert np.abs(videos[0][0].astype(int) - videos[1][0]).max() < 40, "there is nothing to draw of a first frame"
    assert np.abs(videos[0][5][-18:, -18:].astype(int) - videos[1][5][-18:, -18:]).mean() > 20
    for options, message in (
        (("--score_map",), "--score_map draws one target"),
        (("--uncertainty",), "--uncertainty: opencv/kcf has no energy"),
    ):
        assert run(clip, tmp_path / "out", None, f"opencv kcf {' '.join((box, *options))}") == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists(), "what is refused leaves no file behind"


def webcam(*options: str) -> int:
    return exit_status(lambda: run_webcam.main(["static", "default", "--box=20,24,28,24", *options]))


def test_a_stream_instead_of_a_camera(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert webcam("--camera", str(clip), "--output", str(tmp_path / "out")) == 0
    assert len(read_boxes(tmp_path / "out" / "webcam_default.txt")) == 24
    assert "24 frames kept" in capsys.readouterr().out


def test_a_camera_that_is_not_there(capfd: pytest.CaptureFixture) -> None:
    assert webcam("--camera", "977", "--seconds", "nan") == 2
    assert "--seconds must be above 0, not nan" in capfd.readouterr().err
    assert webcam("--camera", "977") == 2
    assert capfd.readouterr().err == "error: camera '977' cannot be opened; pass another one with --camera\n"


def test_a_camera_that_delivers_nothing_or_a_bad_box(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(run_webcam, "camera_frames", lambda capture, seconds: iter(()))
    assert webcam("--camera", str(clip)) == 2
    assert "delivers no picture" in capsys.readouterr().err
    monkeypatch.undo()
    assert exit_status(lambda: run_webcam.main(["static", "default", "--camera", str(clip), "--box=900,0,5,5"])) == 2
    assert "lies outside" in capsys.readouterr().err


def test_the_window_ends_at_q(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter([-1, -1, ord("q")])
    monkeypatch.setattr(select_box, "opencv_has_windows", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: None, raising=False)
    monkeypatch.setattr(cv2, "waitKey", lambda delay: next(keys), raising=False)
    assert webcam("--camera", str(clip), "--output", str(tmp_path / "out")) == 0
    assert len(read_boxes(tmp_path / "out" / "webcam_default.txt")) == 3


def test_a_time_limit(clip: Path) -> None:
    capture = run_webcam.open_camera(str(clip))
    assert list(run_webcam.camera_frames(capture, 0.0)) == []
    capture.release()
