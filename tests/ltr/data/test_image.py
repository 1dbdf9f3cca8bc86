"""Reading images: whole or refused."""

from __future__ import annotations

import copy
import os
import resource
import struct
import threading
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from tiny_data import scene, shape_rgba, write_image

from ltr.data import image as image_module
from ltr.data.image import levels_of, read_annotated, read_header, read_image, read_mask, read_rgba, verify_image
from ltr.data.media import MAX_PIXELS, find_levels
from ltr.errors import ImageError

CASES = Path(__file__).resolve().parents[2] / "data" / "pictures"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_an_image_is_rgb(tmp_path, suffix):
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = 200
    read = read_image(write_image(tmp_path / f"red{suffix}", image))
    assert read.dtype == np.uint8 and read.shape == (20, 30, 3)
    assert abs(read.astype(int) - image).max() <= 3


def test_alpha_and_masks_keep_their_values(tmp_path):
    rgba = shape_rgba((10, 20, 30))
    path = write_image(tmp_path / "cutout.png", rgba)
    assert np.array_equal(read_rgba(path), rgba)
    soft = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert np.array_equal(read_mask(write_image(tmp_path / "mask.png", soft)), soft)
    opaque = read_rgba(write_image(tmp_path / "plain.png", rgba[..., :3]))
    assert np.array_equal(opaque[..., :3], rgba[..., :3]) and (opaque[..., 3] == 255).all()
    grey = read_rgba(write_image(tmp_path / "grey.png", soft))
    assert np.array_equal(grey[..., 1], soft) and (grey[..., 3] == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_a_cut_short_image_is_refused(tmp_path, suffix, kept):
    path = write_image(tmp_path / f"image{suffix}", scene(1, 320, 240))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageError, match=f"image{suffix} is cut short"):
        read_image(path)


def test_a_thumbnail_does_not_hide_that_a_jpeg_is_cut_short(tmp_path):
    small = write_image(tmp_path / "small.jpg", scene(1)).read_bytes()
    path = write_image(tmp_path / "image.jpg", scene(1, 320, 240))
    content = path.read_bytes()
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    whole = content[:2] + segment + content[2:]
    path.write_bytes(whole)
    assert read_image(path).shape == (240, 320, 3)
    path.write_bytes(whole[:-200])
    with pytest.raises(ImageError, match="cut short"):
        read_image(path)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path):
    path = write_image(tmp_path / "image.jpg", scene(1))
    path.write_bytes(path.read_bytes() + bytes(100))
    assert read_image(path).shape == (48, 64, 3)


def test_what_is_no_image_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere\.jpg: No such file"):
        read_image(tmp_path / "nowhere.jpg")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg: cannot be decoded"):
        read_image(tmp_path / "empty.jpg")
    (tmp_path / "text.png").write_text("no pixels here")
    with pytest.raises(ImageError, match=r"text\.png: cannot be decoded"):
        read_mask(tmp_path / "text.png")
    write_image(tmp_path / "deep.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(ImageError, match="wanted 8 bits"):
        read_rgba(tmp_path / "deep.png")


def test_the_error_can_travel_between_processes():
    error = copy.copy(ImageError("a.jpg is cut short"))
    assert str(error) == "a.jpg is cut short"


def with_orientation(content: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment that tells how it is to be turned."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(4, "little")
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + entry + b"\x00\x00\x00\x00"
    return content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]


@pytest.mark.parametrize("quality", [30, 95])
def test_jpegs_have_the_pixels_that_opencv_gives(tmp_path, quality):
    cv2.imwrite(str(tmp_path / "a.jpg"), scene(1, 321, 241), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert np.array_equal(read_image(tmp_path / "a.jpg"), cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1])
    write_image(tmp_path / "grey.jpg", scene(2, 90, 70)[..., 1])
    assert np.array_equal(read_image(tmp_path / "grey.jpg"), cv2.imread(str(tmp_path / "grey.jpg")))


def test_a_jpeg_of_four_colours_is_left_to_opencv(tmp_path):
    Image.fromarray(scene(1)).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert np.array_equal(read_image(tmp_path / "print.jpg"), cv2.imread(str(tmp_path / "print.jpg"))[..., ::-1])


def png(width: int, height: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG that declares a size, with whatever compressed data."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def huge_jpeg(width: int, height: int, progressive: bool = False) -> bytes:
    """A small JPEG whose header says that it is large."""
    buffer = BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG", progressive=progressive)
    content = bytearray(buffer.getvalue())
    place = content.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def tiff(width: int, height: int) -> bytes:
    buffer = BytesIO()
    Image.new("L", (64, 48)).save(buffer, "TIFF")
    content = bytearray(buffer.getvalue())
    for tag, value in ((256, width), (257, height)):
        place = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
        content[place : place + 4] = struct.pack("<I", value)
    return bytes(content)


@pytest.mark.parametrize("read", [read_image, read_mask, read_rgba, read_header, verify_image])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("decl.png", png(50000, 50000, data=zlib.compress(bytes(10)))),
        ("more.png", png(1 << 20, 1 << 20, depth=16, colour=2)),
        ("huge.jpg", huge_jpeg(60000, 60000)),
        ("scans.jpg", huge_jpeg(65000, 3000, progressive=True)),
        ("huge.tif", tiff(100000, 100000)),
        ("huge.bmp", b"BM" + struct.pack("<IHHIIiiHHIIIIII", 60, 0, 0, 54, 40, 90000, 90000, 1, 24, 0, 0, 0, 0, 0, 0)),
        ("huge.ppm", b"P6 90000 90000 255\n"),
    ],
)
def test_a_file_that_claims_to_be_huge_is_refused_before_decoding(tmp_path, monkeypatch, capfd, read, name, content):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(image_module.cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(image_module.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=rf"{name} claims .*{MAX_PIXELS:,}"):
        read(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_an_image_of_the_largest_size_is_no_bomb(tmp_path):
    (tmp_path / "wide.png").write_bytes(png(8192, 8192, depth=1, data=zlib.compress(bytes(8192 * (1 + 1024)))))
    assert read_header(tmp_path / "wide.png").size == (8192, 8192) and MAX_PIXELS == 8192 * 8192
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_image(tmp_path / "wide.png").shape == (8192, 8192, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000, "kilobytes"


def test_a_pipe_or_device_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "0001.jpg")
    (tmp_path / "0002.jpg").symlink_to("/dev/zero")
    with (tmp_path / "0003.png").open("wb") as file:
        file.truncate(1 << 40)
    found = []

    def read_all() -> None:
        for name in ("0001.jpg", "0002.jpg", "0003.png", "."):
            for read in (read_image, read_mask, read_header, levels_of):
                try:
                    read(tmp_path / name)
                except ImageError as error:
                    found.append(str(error))

    worker = threading.Thread(target=read_all, daemon=True)
    worker.start()
    worker.join(timeout=20)
    assert len(found) == 16
    assert sum("is a pipe, a socket or a device" in text for text in found) == 8
    assert sum("bytes, more than the" in text for text in found) == 4
    assert sum("is a folder, not an image" in text for text in found) == 4


@pytest.mark.parametrize("name", ["0002.jpg", "0003.jpg"])
def test_damage_inside_a_jpeg_is_found_and_named_once(capsys, name):
    path = CASES / name
    assert cv2.imread(str(path)) is not None, "OpenCV alone finds nothing"
    with pytest.raises(ImageError, match=rf"{name} is damaged, part of its pixels are made up: Corrupt JPEG data"):
        verify_image(path)
    image_module._damaged.clear()
    assert read_image(path).shape == read_image(path).shape == (*reversed(read_header(path).size), 3)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(f"warning: {path} is damaged")


def test_damage_in_other_kinds_of_jpeg(tmp_path):
    """Progressive, grey, with EXIF, in four colours: each with a stretch of its scan blotted out."""
    picture = Image.fromarray(scene(1, 160, 120))
    exif = Image.Exif()
    exif[274] = 6
    kinds = {
        "progressive": (picture, {"progressive": True}),
        "grey": (picture.convert("L"), {}),
        "turned": (picture, {"exif": exif}),
        "print": (picture.convert("CMYK"), {}),
    }
    for kind, (image, options) in kinds.items():
        path = tmp_path / f"{kind}.jpg"
        image.save(path, quality=90, **options)
        verify_image(path)
        content = bytearray(path.read_bytes())
        middle = content.rindex(b"\xff\xda") + (len(content) - content.rindex(b"\xff\xda")) // 2
        content[middle : middle + 40] = b"\xff\x00" * 20
        path.write_bytes(content)
        with pytest.raises(ImageError, match=f"{kind}.jpg is damaged"):
            verify_image(path)


def test_a_whole_jpeg_is_not_called_damaged(capsys, tmp_path):
    path = write_image(tmp_path / "image.jpg", scene(1))
    path.write_bytes(path.read_bytes() + bytes(100))
    assert verify_image(path).size == (64, 48)
    assert capsys.readouterr().err == ""


def test_damage_in_a_png_is_an_error(tmp_path):
    path = write_image(tmp_path / "image.png", scene(1))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(path)


# What a picture with a bright upper left corner shows where, for each of EXIF's orientations.
CORNERS = {1: "left top", 2: "right top", 3: "right bottom", 4: "left bottom"}
CORNERS |= {5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom"}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_reader_turns_an_image_upright(tmp_path, orientation, kind):
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :16] = 255
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"image.{kind.lower()}"
    Image.fromarray(stored).save(path, kind, exif=exif)
    image = read_image(path)
    assert image.shape == ((32, 64, 3) if orientation < 5 else (64, 32, 3))
    assert read_header(path).size == image.shape[1::-1] == verify_image(path).size
    for pixels in (image[..., 0], read_mask(path), read_rgba(path)[..., 0]):
        assert pixels.shape == image.shape[:2]
        at = {
            "left top": pixels[4, 4],
            "right top": pixels[4, -4],
            "left bottom": pixels[-4, 4],
            "right bottom": pixels[-4, -4],
        }
        assert max(at, key=lambda corner: at[corner]) == CORNERS[orientation]
    assert np.array_equal(read_annotated(path, image.shape[1::-1]), image)
    assert np.array_equal(read_annotated(path, (0, 0)), image)
    if orientation > 4:
        assert abs(read_annotated(path, (64, 32)).astype(int) - stored).max() < 60
    with pytest.raises(ImageError, match="but its annotation says 65 x 32"):
        read_annotated(path, (65, 32))


def test_a_thermal_sequence_keeps_its_contrast_on_one_scale():
    first, later = CASES / "thermal1.png", CASES / "thermal8.png"
    levels = levels_of(first)
    assert levels is not None and levels[0] == pytest.approx(7102, abs=10) and levels[1] == pytest.approx(7958, abs=10)
    assert len(np.unique(cv2.imread(str(first)))) <= 5, "what a plain decoder leaves"
    for path in (first, later):
        raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        read = read_image(path, first)
        assert read.dtype == np.uint8 and len(np.unique(read)) > 150
        expected = np.clip((raw - levels[0]) / (levels[1] - levels[0]) * 255, 0, 255).round()
        assert np.array_equal(read[..., 0], expected.astype(np.uint8))


def test_ordinary_pictures_of_16_bits_look_as_ever(tmp_path):
    wide = cv2.resize(scene(1).astype(np.uint16) * 257, (640, 480))
    wide[0, :20], wide[1, :20] = 0, 65535
    wide[2:40] = 0
    wide[40:80] = 65535
    for suffix in ("png", "tiff"):
        assert cv2.imwrite(str(tmp_path / f"wide.{suffix}"), wide)
        assert levels_of(tmp_path / f"wide.{suffix}") == (0, 65535)
        read = read_image(tmp_path / f"wide.{suffix}")
        assert abs(read.astype(int) - wide[..., ::-1] // 257).max() <= 1


def test_levels_of_several_kinds(tmp_path):
    assert levels_of(write_image(tmp_path / "plain.png", scene(1))) is None
    flat = np.full((8, 8), 7000, np.uint16)
    assert find_levels(flat) is None, "a flat picture has no levels"
    assert cv2.imwrite(str(tmp_path / "flat.png"), flat)
    assert read_image(tmp_path / "flat.png").tolist() == np.full((8, 8, 3), 27).tolist()
    shown = read_image(CASES / "thermal1.png", tmp_path / "flat.png")
    assert np.array_equal(shown, read_image(CASES / "thermal1.png")), "behind a closed shutter, by its own levels"
    twelve = (np.arange(4096).reshape(64, 64)).astype(np.uint16)
    low, high = find_levels(twelve)
    assert low < 0 < 4095 < high < 5000
    coloured = np.stack([twelve, twelve // 2, twelve // 4], axis=-1)
    assert cv2.imwrite(str(tmp_path / "colour.tif"), coloured)
    read = read_image(tmp_path / "colour.tif").astype(int)
    assert read[-1, -1, 2] > read[-1, -1, 1] > read[-1, -1, 0] > 60, "channels share their levels"
    with pytest.raises(ImageError, match="nowhere"):
        levels_of(tmp_path / "nowhere.png")


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int16, np.int8])
def test_a_tiff_of_other_numbers_says_what_to_write(tmp_path, kind, capfd):
    cv2.imwrite(str(tmp_path / "0001.tif"), scene(0)[..., 0].astype(kind))
    for read in (read_image, verify_image, read_header):
        with pytest.raises(ImageError, match=r"0001\.tif has (floating|signed) numbers of .* with 8 or 16 bits"):
            read(tmp_path / "0001.tif")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "bits", "channels", "what"),
    [
        (3, 64, 1, "floating numbers of 64 bits in 1 channel,"),
        (3, 32, 3, "floating numbers of 32 bits in 3 channels,"),
        (1, 64, 3, "whole numbers of 64 bits in 3 channels,"),
        (1, 8, 2, "whole numbers of 8 bits in 2 channels,"),
    ],
)
def test_a_tiff_that_pillow_does_not_open_says_what_it_is(tmp_path, kind, bits, channels, what):
    size = 8 * 9 * channels * bits // 8
    # Width, height, bits, compression, colours, place and number of channels, rows and bytes of the strip, kind.
    values = {256: 9, 257: 8, 258: (bits,) * channels, 259: 1, 262: 1, 273: 8, 277: channels, 278: 8, 279: size}
    tags = ImageFileDirectory_v2()
    for tag, value in {**values, 339: (kind,) * channels}.items():
        tags[tag] = value
    file = tmp_path / "0001.tif"
    file.write_bytes(b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + tags.tobytes(8 + size))
    with pytest.raises(ImageError, match=f"has {what}.* convert it to a picture with 8 or 16 bits a channel"):
        read_image(file)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.webp"])
def test_a_file_of_several_pictures_is_refused(tmp_path, name):
    Image.fromarray(scene(0)).save(tmp_path / name, save_all=True, append_images=[Image.fromarray(scene(1))])
    with pytest.raises(ImageError, match="has several pictures; write each to a file of its own"):
        read_image(tmp_path / name)


def test_what_cannot_be_decoded_is_told_by_us_alone(tmp_path, capfd):
    Image.fromarray(scene(0)).save(tmp_path / "a.tif", compression="zstd")
    with pytest.raises(ImageError, match=r"a\.tif: cannot be decoded"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")
