"""Cut-outs: found by the names of their masks, cut tight, bad ones left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image

from ltr.dataset.cutouts import CutoutSource, find_cutouts, largest_object, usable, usable_cutouts
from ltr.errors import ImageError


def test_masks_find_their_images_by_name(tmp_path):
    for name in ("0001.png", "two_words.jpg", "plain.png"):
        write_image(tmp_path / "images" / name, scene(1))
    mask = np.full((48, 64), 255, np.uint8)
    for name in ("0001_00_cup", "0001_01_dining-table", "two_words_3_cat", "two_words", "plain"):
        write_image(tmp_path / "masks" / f"{name}.png", mask)
    write_image(tmp_path / "rgba" / "frog.png", shape_rgba())
    found = {(mask.stem if mask else None): image.name for image, mask in find_cutouts(tmp_path)}
    assert found == {
        "0001_00_cup": "0001.png",
        "0001_01_dining-table": "0001.png",
        "two_words_3_cat": "two_words.jpg",
        "two_words": "two_words.jpg",
        "plain": "plain.png",
        None: "frog.png",
    }
    assert find_cutouts(tmp_path / "rgba") == []


def test_a_mask_without_an_image_is_named(tmp_path):
    write_image(tmp_path / "images" / "a.png", scene(1))
    write_image(tmp_path / "masks" / "b_0_cat.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(ImageError, match=r"b_0_cat\.png has no image"):
        find_cutouts(tmp_path)


def test_a_cutout_is_cut_to_its_mask(tmp_path):
    image, mask = scene(2), np.zeros((48, 64), np.uint8)
    mask[10:40, 20:50] = 255
    mask[10:12, 20:22] = 90
    entry = (write_image(tmp_path / "i.png", image), write_image(tmp_path / "m.png", mask))
    (cutout,) = CutoutSource([(entry,)])[0]
    assert cutout.shape == (30, 30, 4)
    assert np.array_equal(cutout[2:, 2:, :3], image[12:40, 22:50])
    assert cutout[5, 5, 3] == 255 and cutout[0, 0, 3] == 90, "soft edges stay soft"
    assert cutout[0, 0, :3] == pytest.approx(image[10, 20] * (90 / 255), abs=1), "colours are multiplied by alpha"


def test_a_large_cutout_is_shrunk_to_256_pixels(tmp_path):
    rgba = cv2.resize(shape_rgba((50, 90, 130)), (1200, 600), interpolation=cv2.INTER_NEAREST)
    (cutout,) = CutoutSource([((write_image(tmp_path / "big.png", rgba), None),)])[0]
    assert max(cutout.shape) == 256
    assert np.array_equal(cutout[-3, 3], (50, 90, 130, 255))


def test_a_mask_of_another_size_is_named(tmp_path):
    entry = (write_image(tmp_path / "i.png", scene(2)), write_image(tmp_path / "m.png", np.zeros((40, 64), np.uint8)))
    with pytest.raises(ImageError, match=r"m\.png has 64 x 40 pixels, its image .*i\.png has 64 x 48"):
        CutoutSource([(entry,)])[0]


def opaque(alpha):
    return np.dstack([np.zeros((*alpha.shape, 3), np.uint8), alpha.astype(np.uint8)])


def test_only_whole_objects_of_some_size_are_usable():
    disc = cv2.circle(np.zeros((60, 60), np.uint8), (30, 30), 29, 255, -1)
    assert usable(opaque(disc))
    assert usable(shape_rgba()[5:-5, 5:-5])
    assert not usable(opaque(disc[::4, ::4])), "too small"
    assert not usable(opaque(np.full((60, 60), 255))), "a rectangle, so a failed mask"
    thin = cv2.line(np.zeros((60, 60), np.uint8), (0, 0), (59, 59), 255, 3)
    assert not usable(opaque(thin)), "hardly any of it is opaque"
    cut_off = np.full((60, 60), 255)
    cut_off[20:40, 20:40] = 0
    assert not usable(opaque(cut_off)), "it goes on beyond its borders"


def test_what_vanishes_when_shrunk_is_not_usable():
    grid = np.zeros((240, 240), np.uint8)
    grid[::6, :] = 255
    grid[:, :1] = grid[:, -1:] = 255
    grid[1::24, ::2] = 255
    assert 0.12 < (grid > 127).mean() < 0.97
    assert not usable(opaque(grid))


def test_unusable_cutouts_are_left_out(tmp_path):
    good = ((write_image(tmp_path / "good.png", shape_rgba()), None),)
    bad = ((write_image(tmp_path / "bad.png", opaque(np.full((60, 60), 255))), None),)
    assert usable_cutouts([bad, good]) == [good]


def test_of_several_objects_in_a_mask_the_largest_is_cut_out(tmp_path):
    image, mask = scene(2), np.zeros((48, 64), np.uint8)
    mask[10:40, 5:30] = 255
    mask[10:30, 40:60] = 255
    entry = (write_image(tmp_path / "i.png", image), write_image(tmp_path / "m.png", mask))
    assert CutoutSource([(entry,)])[0][0].shape == (30, 25, 4)
    mask[10:30, 43:60] = 0
    assert largest_object(mask) is mask, "a small part belongs to the object"
