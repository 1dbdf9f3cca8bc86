"""Video files: what is written can be read, and damage is noticed and named."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ltr.data.video import probe_video, read_timed, read_video
from ltr.errors import UserError
from pytracking.video import video_writer

FRAMES = 40


def noise(number: int) -> np.ndarray:
    """[96, 128, 3] uint8 RGB blocks: hard to compress, so that a cut anywhere hits picture data."""
    blocks = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


def write(path: Path, frames: int = FRAMES) -> Path:
    with video_writer(path, Fraction(25)) as add:
        for number in range(frames):
            add(noise(number))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}", 8)
    frames = list(read_video(path))
    assert len(frames) == 8
    assert frames[0].shape == (96, 128, 3)
    assert frames[0].dtype == np.uint8
    assert np.abs(frames[3].astype(float) - noise(3)).mean() < 12
    assert probe_video(path).rate == 25
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"clip.{suffix}"]


def test_h264_in_mp4_knows_its_length(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", 8)
    assert probe_video(path).frames == 8
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_odd_sizes_are_cropped_and_changing_ones_scaled(tmp_path: Path) -> None:
    with video_writer(tmp_path / "odd.mp4", Fraction(25)) as add:
        add(noise(0)[:95, :127])
    assert next(read_video(tmp_path / "odd.mp4")).shape == (94, 126, 3)
    with video_writer(tmp_path / "changing.mp4", Fraction(25)) as add:
        add(noise(0))
        add(noise(0)[::2, ::2])
        add(noise(0)[:, :64])
    frames = list(read_video(tmp_path / "changing.mp4"))
    assert [frame.shape for frame in frames] == [(96, 128, 3)] * 3
    assert np.abs(frames[1].astype(float) - frames[0]).mean() < 25, "the same picture"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi"])
def test_frames_are_written_at_their_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    times = [0.0, 0.04, 0.08, 0.4, 0.44]
    with video_writer(path, Fraction(25)) as add:
        for number, time in enumerate(times):
            add(noise(number), time, 1.2)
    frames = list(read_timed(path))
    assert frames[-1].time + frames[-1].duration == pytest.approx(1.64, abs=0.002)
    if suffix != "avi":
        assert [frame.time for frame in frames] == pytest.approx(times, abs=0.001)
    assert probe_video(path).rate == 25 or suffix in ("mp4", "mov")


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60), Fraction(19000, 763)])
def test_any_rate_keeps_its_duration(tmp_path: Path, rate: Fraction) -> None:
    with video_writer(tmp_path / "clip.mp4", rate) as add:
        for number in range(12):
            add(noise(number))
    frames = list(read_timed(tmp_path / "clip.mp4"))
    assert frames[-1].time + frames[-1].duration == pytest.approx(float(12 / rate), abs=0.001)


def test_nothing_added_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("earlier")
    with video_writer(tmp_path / "clip.mp4", Fraction(25)):
        pass
    assert (tmp_path / "clip.mp4").read_text() == "earlier"
    with (
        pytest.raises(UserError, match="cannot write this kind of video"),
        video_writer(tmp_path / "clip.gif", Fraction(25)),
    ):
        pass


def test_without_libx264_mpeg4_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def missing(name: str, mode: str) -> None:
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av.codec, "Codec", missing)
    path = write(tmp_path / "clip.mp4", 4)
    assert "no libx264" in capsys.readouterr().err
    assert len(list(read_video(path))) == 4


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for name, message in [("none.mp4", "no such video"), ("text.mp4", "another kind of file"), ("", "is a folder")]:
        with pytest.raises(UserError, match=message):
            next(read_video(tmp_path / name))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UserError, match="holds no video"):
        probe_video(tmp_path / "sound.wav")


def frames_until_error(path: Path) -> tuple[int, str]:
    count = 0
    with pytest.raises(UserError) as caught:
        for _ in read_video(path):
            count += 1
    return count, str(caught.value)


@pytest.mark.parametrize("suffix", ["mkv", "avi"])
def test_a_truncated_video_yields_its_frames_and_then_says_so(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    count, message = frames_until_error(path)
    assert 5 < count < FRAMES
    assert "truncated" in message or "damaged" in message


def test_a_truncated_mp4_cannot_be_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:-200])
    count, message = frames_until_error(path)
    assert (count, "truncated" in message) == (0, True)


def test_an_unreadable_frame_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = b"\x93" * 4000
    path.write_bytes(data)
    count, message = frames_until_error(path)
    assert 5 < count < FRAMES
    assert message == f"{path}: frame {count + 1} of {FRAMES} cannot be decoded: the file is damaged"


def test_a_video_held_upright_is_turned(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", 2)
    upright = next(read_video(path))
    data = path.read_bytes()
    one = 1 << 16
    plain = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    quarter = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    header = data.index(b"tkhd")
    place = data.index(plain, header)
    path.write_bytes(data[:place] + quarter + data[place + len(quarter) :])
    turned = next(read_video(path))
    # The matrix of a phone held upright asks for a quarter turn clockwise.
    assert np.array_equal(turned, np.rot90(upright, -1))
