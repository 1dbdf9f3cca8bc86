"""The data of the compact recipes: recognised by their layout, split by file."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image, write_lines, write_sequence

from ltr.dataset.composited import CompositedVideo
from ltr.dataset.folders import FolderSequences, ImageBoxes
from ltr.dataset.lite import build_lite_datasets, in_split, video_in_split
from ltr.errors import AnnotationError


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    for k in range(40):
        write_image(root / "cutouts" / "rgba" / f"{k:03d}.png", shape_rgba((5 * k, 90, 60)))
        write_image(root / "backgrounds" / f"{k:03d}.jpg", scene(k))
        write_image(root / "scenes" / "images" / f"{k:03d}.jpg", scene(k))
        write_sequence(root / "videos" / f"clip{k:03d}", ["10,10,30,20"] * 2)
    write_lines(root / "scenes" / "boxes.csv", ["image,x,y,w,h", *(f"{k:03d}.jpg,5,5,30,30" for k in range(40))])
    return root


def by_name(root, split, seed=0):
    return {dataset.name: (dataset, weight) for dataset, weight in build_lite_datasets(root, split, seed)}


def test_every_kind_of_data_is_found(root):
    found = by_name(root, "train")
    assert {name: type(dataset) for name, (dataset, _) in found.items()} == {
        "composited": CompositedVideo,
        "short_videos": FolderSequences,
        "scenes": ImageBoxes,
    }
    weights = {name: weight for name, (_, weight) in found.items()}
    assert weights["composited"] > weights["short_videos"] >= weights["scenes"] > 0
    for dataset, _ in found.values():
        assert dataset.frames(0, [0])[0].dtype == np.uint8


def test_nothing_of_validation_is_trained_on(root):
    train, val = by_name(root, "train"), by_name(root, "val")

    def material(found):
        composited, videos, scenes = (found[name][0] for name in ("composited", "short_videos", "scenes"))
        return [
            {image for entry in composited.cutouts.entries for image, _ in entry},
            set(composited.backgrounds),
            {videos.sequence_name(k) for k in range(len(videos))},
            {scenes.sequence_name(k).split("#")[0] for k in range(len(scenes))},
        ]

    for used, held_out in zip(material(train), material(val), strict=True):
        assert used and held_out and not used & held_out
        assert len(used) > 4 * len(held_out)
    # A picture serves as background and as image with boxes: on the same side both times.
    kept = material(val)
    assert {path.name for path in kept[1] if path.parent.name == "images"} == kept[3]


def test_the_split_is_a_tenth_and_stays(root):
    names = [f"scenes/{k}" for k in range(2000)]
    held_out = [name for name in names if in_split(name, "val")]
    assert 0.08 < len(held_out) / len(names) < 0.12
    assert all(in_split(name, "train") != in_split(name, "val") for name in names)
    assert in_split("a", "train") and in_split("cutouts/16", "train") and in_split("cutouts/002", "val") is False


def test_train_and_validation_videos_differ_and_follow_the_seed(root):
    one, two = by_name(root, "train", 4)["composited"][0], by_name(root, "train", 4)["composited"][0]
    assert np.array_equal(one.sequence_info(3).boxes, two.sequence_info(3).boxes)
    seeds = [by_name(root, split, seed)["composited"][0].seed for split in ("train", "val") for seed in range(3)]
    assert len(set(seeds)) == 6


def test_pictures_of_one_object_serve_as_cutouts_not_as_boxes(root):
    mask = shape_rgba()[..., 3]
    for k in range(30):
        write_image(root / "single" / "images" / f"{k}.png", scene(k, 90, 60))
        write_image(root / "single" / "masks" / f"{k}.png", mask)
    write_lines(root / "single" / "boxes.csv", ["image,x,y,w,h", "1.png,5,5,80,50"])
    before = len(by_name(root, "train")["composited"][0].cutouts)
    found = by_name(root, "train")
    assert "single" not in found
    entries = found["composited"][0].cutouts.entries
    assert sum(mask is not None for ((_, mask),) in entries) > 20 and len(entries) == before


def test_only_cutouts_are_required(tmp_path):
    for k in range(20):
        write_image(tmp_path / "mine" / "rgba" / f"{k}.png", shape_rgba())
    found = by_name(tmp_path, "train")
    assert list(found) == ["composited"] and found["composited"][0].backgrounds == []


def test_what_is_wrong_with_the_folder_is_said(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"empty has no usable cut-outs .* rgba/\*\.png, or images/ with masks/"
    ):
        build_lite_datasets(tmp_path / "empty", "train", 0)
    with pytest.raises(ValueError, match="'train' or 'val'"):
        build_lite_datasets(root, "test", 0)
    sequences = sorted((root / "videos").iterdir())
    trained = next(path for path in sequences if in_split(path.name, "train"))
    write_lines(trained / "groundtruth_rect.txt", ["1,2,3,4", "broken"])
    with pytest.raises(AnnotationError, match=r"groundtruth_rect\.txt, line 2"):
        build_lite_datasets(root, "train", 0)


@pytest.mark.parametrize(
    ("name", "held_out"),
    [
        ("davis_schoolgirls", True),
        ("davis_hike", False),
        ("scbt_BookStand_2", True),
        ("scbt_Bowl_2", False),
        ("sbi2015_HighwayI_0", True),
        ("sbi2015_HighwayII_0", False),
        ("cdnet_highway_highway_3", False),
    ],
)
def test_videos_of_one_scene_are_held_out_together(name, held_out):
    assert video_in_split(name, "val") == held_out and video_in_split(name, "train") != held_out


def test_other_videos_are_split_by_their_names():
    names = [f"mine_{k}" for k in range(500)]
    assert [name for name in names if video_in_split(name, "val")] == [name for name in names if in_split(name, "val")]
