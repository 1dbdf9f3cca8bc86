"""Images and videos with bytes changed at random: our own one-line errors, bounded memory, and an end."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ltr.data.image import levels_of, read_image, read_mask, read_rgba, verify_image
from ltr.data.video import count_frames, probe_video, read_timed
from ltr.errors import UserError

CASES = Path(__file__).resolve().parents[2] / "data" / "pictures"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
VIDEOS = ("gaps.avi", "held.mkv", "trimmed.mp4", "rec.webm", "both.h264", "stts.mp4")
NUMBERS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00", b"\x00\x00\xff\xff")
# What the process had taken before these tests; they may add 1 GB.
START_KILOBYTES = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
IMAGE_ROUNDS, VIDEO_ROUNDS = 30, 25


def image_files() -> dict[str, bytes]:
    """An image in each format: plain, progressive, turned, of 16 bits."""
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    kinds = {
        "plain.jpg": {},
        "scans.jpg": {"progressive": True},
        "turned.jpg": {"exif": exif},
        "turned.png": {"exif": exif},
        "plain.tif": {},
        "packed.tif": {"compression": "tiff_lzw"},
        "plain.webp": {},
        "plain.bmp": {},
        "plain.gif": {},
    }
    found = {"deep.png": (CASES / "thermal1.png").read_bytes()}
    for name, options in kinds.items():
        buffer = BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name.rpartition(".")[2].upper())
        Image.fromarray(pixels).save(buffer, kind, **options)
        found[name] = buffer.getvalue()
    found["deep.tif"] = cv2.imencode(".tif", pixels.astype(np.uint16) * 100)[1].tobytes()
    return found


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with bytes changed, sizes made absurd, parts cut out or put in; more often near the header."""
    data = bytearray(content)
    near_header = rng.random() < 0.6
    header = content.find(b"moov") if near_header and b"moov" in content else 0
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = min(len(data) - 1, header + rng.randrange(1000)) if near_header else rng.randrange(len(data))
        change = rng.randrange(6)
        if change < 2:
            data[place] = rng.randrange(256)
        elif change < 4:
            data[place : place + 4] = rng.choice(NUMBERS)
        elif change == 4:
            del data[place : place + rng.randrange(1, 64)]
        else:
            data[place:place] = rng.randbytes(rng.randrange(1, 32))
        data = data or bytearray(b"x")
    return bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.1 else data)


def outcome(use: Callable[[Path], object], path: Path) -> str:
    """'read', or the message of our own error, which has one line; any other error is the test's."""
    try:
        use(path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        assert path.name in str(error)
        return str(error)
    return "read"


def hundred_frames(path: Path) -> None:
    """Read a video, and stop where it would go on for long."""
    for frame, _ in zip(read_timed(path), range(100)):
        assert frame.image.dtype == np.uint8 and np.isfinite([frame.time, frame.duration]).all()


@pytest.mark.parametrize("name", image_files())
def test_images(tmp_path: Path, name: str, capfd: pytest.CaptureFixture) -> None:
    content, rng = image_files()[name], random.Random(name)
    seen = set()
    for number in range(IMAGE_ROUNDS):
        path = tmp_path / f"{number}{name}"
        path.write_bytes(mutated(content, rng))
        for use in (read_image, verify_image, read_mask, read_rgba, levels_of):
            seen.add(outcome(use, path) == "read")
    assert False in seen, "the changes went too easy on the readers"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < START_KILOBYTES + 1_000_000
    capfd.readouterr()


@pytest.mark.parametrize("name", VIDEOS)
def test_videos(tmp_path: Path, name: str) -> None:
    content, rng = (CASES / name).read_bytes(), random.Random(name)
    seen = set()
    for number in range(VIDEO_ROUNDS):
        path = tmp_path / f"{number}{name}"
        path.write_bytes(mutated(content, rng))
        for use in (probe_video, count_frames, hundred_frames):
            seen.add(outcome(use, path) == "read")
    assert seen == {True, False}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < START_KILOBYTES + 1_000_000
