"""Videos that are not what their container says: what is decoded counts."""

from __future__ import annotations

import itertools
import os
import resource
import struct
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ltr.data import video
from ltr.data.image import levels_of, read_image
from ltr.data.video import count_frames, probe_video, read_timed, read_video, video_frames, video_notes
from ltr.errors import UserError
from pytracking.video import video_writer

CASES = Path(__file__).resolve().parents[2] / "data" / "pictures"
ONE = 1 << 16


def grey_ramp(height: int = 48, width: int = 64) -> np.ndarray:
    """[H, W, 3] uint8 RGB, dark on the left, and darker at the top, so that no turn of it looks like another."""
    ramp = np.linspace(0, 200, width)[None, :] + np.linspace(0, 50, height)[:, None]
    return np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)


def encode(
    path: Path,
    images: list[np.ndarray],
    codec: str = "ffv1",
    pixels: str = "bgr0",
    source: str = "rgb24",
    times: list[int] | None = None,
    rate: Fraction | int = 25,
) -> Path:
    """A video of images, shown at `times` (milliseconds; every 40 where left out)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format=source)
            frame.pts, frame.time_base = (40 * number if times is None else times[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "frames", "seconds"),
    [
        ("gaps.avi", 20, 1.0),
        ("held.mkv", 20, 3.76),
        ("trimmed.mp4", 10, 0.4),
        ("rec.webm", 20, 0.764),
        ("both.h264", 20, 0.8),
        ("stts.mp4", 12, 1.2),
    ],
)
def test_what_is_decoded_counts(name: str, frames: int, seconds: float) -> None:
    found = list(read_timed(CASES / name))
    assert len(found) == count_frames(CASES / name) == len(video_frames(CASES / name)) == frames
    assert found[0].time == 0 and all(a.time < b.time for a, b in itertools.pairwise(found))
    assert found[-1].time + found[-1].duration == pytest.approx(seconds, abs=0.002)


def test_an_absurd_rate_is_measured_from_the_times(tmp_path: Path) -> None:
    assert probe_video(CASES / "rec.webm").rate == pytest.approx(19 / 0.763, abs=0.01)
    assert probe_video(CASES / "held.mkv").rate == 25
    slow = encode(tmp_path / "slow.mkv", [grey_ramp()] * 4, times=[0, 3000, 6000, 9000], rate=Fraction(1, 3))
    assert probe_video(slow).rate == pytest.approx(1 / 3, abs=0.01)
    assert [frame.time for frame in read_timed(slow)] == [0, 3, 6, 9]


def test_a_header_that_announces_what_it_likes_is_not_believed() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert probe_video(CASES / "stts.mp4").frames is None
    assert len(video_frames(CASES / "stts.mp4")) == 12
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def patch(source: Path, target: Path, box: bytes, offset: int, *values: int) -> Path:
    """A copy of an MP4 with 32-bit numbers in the content of a box replaced."""
    data = bytearray(source.read_bytes())
    place = data.index(box) + 4 + offset
    data[place : place + 4 * len(values)] = struct.pack(f">{len(values)}I", *values)
    target.write_bytes(data)
    return target


def test_a_gap_that_no_recording_has_is_one_frame_long_and_the_longest_can_be_written(tmp_path: Path) -> None:
    gap = encode(tmp_path / "gap.mkv", [grey_ramp()] * 4, times=[0, 40, 80_000_000, 80_000_040])
    assert [frame.time for frame in read_timed(gap)] == pytest.approx([0, 0.04, 0.08, 0.12])
    long = encode(tmp_path / "long.mkv", [grey_ramp()] * 3, times=[0, 32_767_000, 32_767_040])
    with video_writer(tmp_path / "long.mp4", Fraction(25)) as add:
        for frame in read_timed(long):
            add(frame.image, frame.time, frame.duration)
    assert [frame.time for frame in read_timed(tmp_path / "long.mp4")] == pytest.approx([0, 32767, 32767.04])


def test_sample_tables_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    many = 0x7FFFFFFF
    bombs = [
        patch(CASES / "stts.mp4", tmp_path / "sizes.mp4", b"stsz", 4, 1, many),
        patch(CASES / "stts.mp4", tmp_path / "table.mp4", b"stsz", 4, 0, many),
    ]
    chunked = patch(CASES / "stts.mp4", tmp_path / "chunks.mp4", b"stsz", 4, 1, many)
    bombs += [
        patch(chunked, chunked, b"stsc", 12, many),
        patch(CASES / "stts.mp4", tmp_path / "e.mp4", b"elst", 4, many),
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in bombs:
        for use in (probe_video, count_frames, lambda path: next(read_video(path))):
            with pytest.raises(UserError, match=f"{bomb.name}: announces .* the file is damaged"):
                use(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def test_frames_that_claim_to_be_huge_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(tmp_path / "header.avi"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(grey_ramp(), format="bgr24")))
    raw = bytearray((tmp_path / "header.avi").read_bytes())
    place = raw.index(b"strf") + 12
    raw[place : place + 8] = struct.pack("<II", 20000, 20000)
    (tmp_path / "header.avi").write_bytes(raw)
    data = bytearray((CASES / "gaps.avi").read_bytes())
    for place in [place for place in range(len(data) - 9) if data[place : place + 4] == b"\xff\xc0\x00\x11"]:
        data[place + 5 : place + 9] = struct.pack(">HH", 60000, 60000)
    (tmp_path / "frames.avi").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("header.avi", "frames.avi"):
        with pytest.raises(UserError, match=r"frame 1 of .* cannot be decoded"):
            next(read_video(tmp_path / name))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    monkeypatch.setattr(video, "MAX_PIXELS", 240 * 320 - 1)
    for name in ("gaps.avi", "both.h264"):
        with pytest.raises(UserError, match=rf"{name} claims 320 x 240 pixels; more than .* are not read"):
            next(read_video(CASES / name))


@pytest.mark.parametrize("name", ["2024-01-01T10:22:33.mp4", "file:x.mp4", "a|b%03d*.mp4", "http:##x.mp4", "ﬁlm ü.mp4"])
def test_a_path_is_a_path_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes((CASES / "trimmed.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert count_frames(tmp_path / name) == count_frames(name) == 10


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "part.mp4").write_bytes((CASES / "trimmed.mp4").read_bytes())
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'part.mp4'}'\n")
    for name in ("list.mp4", "concat.mp4"):
        with pytest.raises(UserError, match="cannot be opened as a video"):
            probe_video(tmp_path / name)


def test_a_pipe_or_device_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    found: list[str] = []

    def read_all() -> None:
        for name in ("pipe.mp4", "zero.mp4"):
            for use in (probe_video, count_frames, lambda path: next(read_video(path))):
                try:
                    use(tmp_path / name)
                except UserError as error:
                    found.append(str(error))

    worker = threading.Thread(target=read_all, daemon=True)
    worker.start()
    worker.join(timeout=20)
    assert len(found) == 6 and all("is a pipe, a socket or a device" in text for text in found)


def test_a_size_that_changes_is_brought_back_to_the_first(tmp_path: Path) -> None:
    frames = list(read_video(CASES / "both.h264"))
    assert {frame.shape for frame in frames} == {(240, 320, 3)}
    # The same scene at half the size: the frame after the change looks like the one before.
    assert np.abs(frames[9].astype(float) - frames[10]).mean() < 12


def test_what_is_unusual_is_noted() -> None:
    ((kind, note),) = video_notes(CASES / "both.h264")
    assert (
        kind == "size change"
        and "frame 11 has 160 x 120 pixels; frames are scaled to the 320 x 240 of the first" in note
    )
    ((kind, note),) = video_notes(CASES / "trimmed.mp4")
    assert kind == "note" and "announces 20 frames; 10 can be seen" in note
    assert video_notes(CASES / "held.mkv") == [] == video_notes(CASES / "hflip.mp4")


# The matrix of a display, and what it does to a picture; (a, b, c, d) as ISO 14496-12, 8.5.2 has them.
TURNS = {
    "as stored": ((1, 0, 0, 1), lambda image: image),
    "mirrored left to right": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "mirrored top to bottom": ((1, 0, 0, -1), lambda image: image[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "a quarter clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "a quarter counter-clockwise": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_all_eight_display_matrices(tmp_path: Path, turn: str) -> None:
    with video_writer(tmp_path / "plain.mp4", Fraction(25)) as add:
        add(grey_ramp())
    plain = next(read_video(tmp_path / "plain.mp4"))
    (a, b, c, d), expected = TURNS[turn]
    values = [ONE * a, ONE * b, 0, ONE * c, ONE * d, 0, 0, 0, 1 << 30]
    numbers = [value & 0xFFFFFFFF for value in values]
    turned = patch(tmp_path / "plain.mp4", tmp_path / "turned.mp4", b"tkhd", 40, *numbers)
    assert np.array_equal(next(read_video(turned)), expected(plain))


def test_the_mirrored_case() -> None:
    """The target moves to the right in the stored pixels, so to the left in the mirrored ones."""

    def place(image: np.ndarray) -> float:
        return float(np.argwhere(image.min(axis=2) > 150)[:, 1].mean())

    frames = list(read_video(CASES / "hflip.mp4"))
    assert place(frames[0]) - place(frames[-1]) > 30


def test_a_thermal_video_keeps_its_contrast_on_one_scale(tmp_path: Path) -> None:
    scene = (7200 + 800 * np.random.default_rng(0).random((48, 64))).astype(np.uint16)
    images = [scene, scene + 100, scene]
    path = encode(tmp_path / "thermal.mkv", images, pixels="gray16le", source="gray16le")
    frames = list(read_video(path))
    assert all(len(np.unique(frame)) > 150 for frame in frames)
    assert np.array_equal(frames[0], frames[2]) and (frames[1] >= frames[0]).all() and (frames[1] > frames[0]).any()
    names = video_frames(path)
    assert levels_of(names[0]) == levels_of(names[2]) == pytest.approx((7142, 8057), abs=15)
    assert np.array_equal(read_image(names[1], names[0]), frames[1])


def test_a_closed_shutter_at_the_start_of_a_thermal_video(tmp_path: Path) -> None:
    scene = (7200 + 800 * np.random.default_rng(0).random((48, 64))).astype(np.uint16)
    images = [np.full_like(scene, 7400), scene, scene + 100]
    path = encode(tmp_path / "thermal.mkv", images, pixels="gray16le", source="gray16le")
    flat, first, later = read_video(path)
    assert len(np.unique(flat)) == 1 and len(np.unique(first)) > 150 and (later >= first).all()
    assert levels_of(video_frames(path)[2]) == pytest.approx((7142, 8057), abs=15)


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p12le"])
def test_an_ordinary_video_of_more_bits_looks_as_ever(tmp_path: Path, pixels: str) -> None:
    wide = grey_ramp()
    wide[:8] = 0
    wide[-8:] = 255
    path = encode(tmp_path / "deep.mkv", [wide] * 2, pixels=pixels)
    assert levels_of(video_frames(path)[0]) == (0, 65535)
    assert np.abs(next(read_video(path)).astype(int) - wide).max() <= 4


@pytest.mark.parametrize("pixels", ["gray10le", "gray12le", "yuv420p10le"])
def test_a_dark_video_of_more_bits_keeps_its_shades(tmp_path: Path, pixels: str) -> None:
    dark = (grey_ramp().astype(np.uint16)[..., 0] * 16 + 3000).astype(np.uint16)
    path = encode(tmp_path / "dark.mkv", [dark] * 2, pixels=pixels, source="gray16le")
    assert len(np.unique(next(read_video(path)))) > 50


def test_the_number_of_a_frame(tmp_path: Path) -> None:
    clip = CASES / "trimmed.mp4"
    assert np.array_equal(read_image(clip / "00000003"), list(read_video(clip))[2])
    for name, message in [("00000011", "has 10 frames"), ("00000000", "counted from"), ("٣", "counted from")]:
        with pytest.raises(UserError, match=message):
            read_image(clip / name)
