"""Reading images: whole or refused."""

from __future__ import annotations

import copy
import sys

import cv2
import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image

from ltr.data.image import read_image, read_mask, read_rgba
from ltr.errors import ImageError


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


@pytest.fixture
def quick_decoder(monkeypatch):
    pytest.importorskip("simplejpeg")
    monkeypatch.setenv("EBM_TRACKING_DECODER", "simplejpeg")


def with_orientation(content: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment that tells how it is to be turned."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(4, "little")
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + entry + b"\x00\x00\x00\x00"
    return content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]


def test_both_decoders_give_the_same_pixels(tmp_path, monkeypatch, quick_decoder):
    grey = cv2.cvtColor(scene(2, 90, 70), cv2.COLOR_RGB2GRAY)
    paths = [write_image(tmp_path / f"{k}.jpg", image) for k, image in enumerate((scene(1, 321, 241), grey))]
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(with_orientation(paths[0].read_bytes(), 6))
    paths += [turned, write_image(tmp_path / "0.png", scene(1))]
    quick = [read_image(path) for path in paths]
    monkeypatch.setenv("EBM_TRACKING_DECODER", "opencv")
    slow = [read_image(path) for path in paths]
    assert quick[2].shape == (321, 241, 3), "a quarter turn"
    assert all(one.shape == two.shape and abs(one.astype(int) - two).max() <= 1 for one, two in zip(quick, slow))


def test_the_quick_decoder_refuses_what_the_other_does(tmp_path, quick_decoder):
    path = write_image(tmp_path / "image.jpg", scene(1, 320, 240))
    content = path.read_bytes()
    path.write_bytes(content[:-200])
    with pytest.raises(ImageError, match=r"image\.jpg is cut short"):
        read_image(path)
    path.write_bytes(content[:30] + content[-2:])
    with pytest.raises(ImageError, match=r"image\.jpg: cannot be decoded"):
        read_image(path)


def test_an_unknown_decoder_names_the_nearest(tmp_path, monkeypatch):
    path = write_image(tmp_path / "image.jpg", scene(1))
    monkeypatch.setenv("EBM_TRACKING_DECODER", "simple-jpeg")
    with pytest.raises(ValueError, match="EBM_TRACKING_DECODER 'simple-jpeg'; did you mean 'simplejpeg'"):
        read_image(path)


def test_a_decoder_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    path = write_image(tmp_path / "image.jpg", scene(1))
    monkeypatch.setenv("EBM_TRACKING_DECODER", "simplejpeg")
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(ImageError, match=r"pip install 'ebm-tracking\[jpeg\]'"):
        read_image(path)
