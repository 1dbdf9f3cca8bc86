"""COCO's official layout, in small."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_data import scene, write_image

from ltr.dataset.coco import Coco
from ltr.errors import AnnotationError


def write_coco(root, annotations):
    for k in (1, 2):
        write_image(root / "images" / "train2017" / f"{k:012d}.png", scene(k))
    content = {
        "images": [{"id": 10 * k, "file_name": f"{k:012d}.png", "width": 64, "height": 48} for k in (1, 2)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cup"}],
    }
    path = root / "annotations" / "instances_train2017.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def thing(number, image, box, **more):
    return {"id": number, "image_id": image, "category_id": 1, "bbox": box, "iscrowd": 0, **more}


def test_every_object_is_a_sequence_of_one_frame(tmp_path):
    write_coco(
        tmp_path,
        [
            thing(5, 20, [1.5, 2.5, 20, 16]),
            thing(6, 10, [0, 0, 30, 30], iscrowd=1),
            thing(7, 10, [3, 4, 10, 2]),
            thing(8, 10, [3, 4, 10, 12]),
        ],
    )
    data = Coco(tmp_path)
    assert len(data) == 2 and not data.is_video and data.name == "coco_train2017"
    assert data.sequence_name(0) == "000000000002.png#5"
    info = data.sequence_info(0)
    assert info.boxes.dtype == np.float32 and info.boxes.tolist() == [[1.5, 2.5, 20, 16]] and info.visible.all()
    assert data.sequence_info(1).boxes.tolist() == [[3, 4, 10, 12]]
    frames = data.frames(1, [0, 0, 0])
    assert len(frames) == 3 and np.array_equal(frames[2], scene(1))


def test_a_missing_or_foreign_annotation_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"cannot read .*instances_val2017\.json"):
        Coco(tmp_path, "val2017")
    write_coco(tmp_path, [thing(1, 99, [0, 0, 9, 9])])
    with pytest.raises(AnnotationError, match=r"instances_train2017\.json is not a COCO instances file"):
        Coco(tmp_path)
    (tmp_path / "annotations" / "instances_train2017.json").write_text('{"images": [')
    with pytest.raises(AnnotationError, match="line 1: not JSON"):
        Coco(tmp_path)


def test_a_file_without_objects_is_an_empty_data_set(tmp_path):
    write_coco(tmp_path, [])
    assert len(Coco(tmp_path)) == 0
