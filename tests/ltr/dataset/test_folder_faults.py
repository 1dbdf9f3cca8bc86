"""Data folders with something missing or in another order: named or put right, never passed over."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image, write_lines

from ltr.dataset.coco import Coco
from ltr.dataset.folders import FolderSequences, ImageBoxes
from ltr.dataset.lite import build_lite_datasets
from ltr.errors import AnnotationError


def test_frames_are_ordered_by_number(tmp_path):
    for number in range(1, 12):
        write_image(tmp_path / "a" / "img" / f"{number}.png", np.full((20, 20, 3), number, np.uint8))
    write_lines(tmp_path / "a" / "groundtruth_rect.txt", [f"{number},0,5,5" for number in range(1, 12)])
    data = FolderSequences(tmp_path)
    values = [int(frame[0, 0, 0]) for frame in data.frames(0, range(11))]
    assert values == data.sequence_info(0).boxes[:, 0].tolist() == list(range(1, 12))


def test_a_table_that_names_absent_images_is_refused(tmp_path):
    write_image(tmp_path / "images" / "there.png", scene(0))
    write_lines(tmp_path / "boxes.csv", ["image,x,y,w,h", "there.png,1,2,30,40", "gone.png,1,2,30,40"])
    with pytest.raises(AnnotationError, match=r"boxes\.csv names 1 images that are not in .*, such as gone\.png"):
        ImageBoxes(tmp_path, "things")


def test_coco_names_the_annotation_and_the_layout(tmp_path):
    with pytest.raises(AnnotationError, match=r"wanted images/val2017/ and annotations/instances_val2017\.json"):
        Coco(tmp_path, "val2017")
    path = tmp_path / "annotations" / "instances_val2017.json"
    content = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": []}
    write_lines(path, [json.dumps(content)])
    with pytest.raises(AnnotationError, match=r"images/val2017 is not a folder"):
        Coco(tmp_path, "val2017")
    (tmp_path / "images" / "val2017").mkdir(parents=True)
    for box in ([1, 2, 3], [1, 2, 3, "wide"], None):
        content["annotations"] = [
            {"id": 5, "image_id": 1, "bbox": [1, 2, 30, 40]},
            {"id": 6, "image_id": 1, "bbox": box},
        ]
        write_lines(path, [json.dumps(content)])
        with pytest.raises(AnnotationError, match=r"instances_val2017\.json .* annotation 6: "):
            Coco(tmp_path, "val2017")


def material(datasets):
    """File names of the cut-outs and of the backgrounds."""
    video = datasets[0][0]
    looks = [look for entry in video.cutouts.entries for look in entry]
    return [image.name for image, _ in looks], sorted({path.name for path in video.backgrounds})


def test_the_split_of_a_folder_does_not_follow_its_place(tmp_path):
    first = tmp_path / "first"
    for k in range(40):
        write_image(first / "things" / "rgba" / f"{k:02d}.png", shape_rgba())
        write_image(first / "backgrounds" / f"{k:02d}.png", scene(k, 24, 16))
    shutil.copytree(first, tmp_path / "second")
    parts = {}
    for split in ("train", "val"):
        parts[split] = material(build_lite_datasets(first, split, 0))
        assert material(build_lite_datasets(tmp_path / "second", split, 0)) == parts[split]
    for train, val in zip(parts["train"], parts["val"]):
        assert train and val and not set(train) & set(val) and len(set(train) | set(val)) == 40
