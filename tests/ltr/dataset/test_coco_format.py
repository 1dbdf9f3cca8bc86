"""COCO-format files of any source: boxes, boxes from masks, and cut-outs for composited video."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mini_training_sets import make_coco, run_lengths
from PIL import Image
from tiny_data import scene, write_image, write_lines

from ltr.data.image import read_image
from ltr.dataset.coco import CocoFormat, MaskCutouts, coco_format_files, decode_mask, mask_box, read_objects
from ltr.dataset.composited import CompositedVideo
from ltr.dataset.index import index_file
from ltr.dataset.inspect_images import inspect_coco
from ltr.errors import AnnotationError, ImageError


def write(path, *annotations):
    images = [{"id": "a", "file_name": "sub/one.png", "width": 64, "height": 48}]
    return write_lines(path, [json.dumps({"images": images, "annotations": list(annotations)})])


def test_any_file_and_folder_will_do(tmp_path):
    write_image(tmp_path / "pictures" / "sub" / "one.png", scene(1))
    path = write(tmp_path / "mine.json", {"id": 3, "image_id": "a", "bbox": [1, 2, 30, 20]})
    data = CocoFormat(path, tmp_path / "pictures", "mine")
    assert len(data) == 1 and data.sequence_name(0) == "sub/one.png#3" and data.name == "mine"
    assert data.sequence_info(0).boxes.tolist() == [[1, 2, 30, 20]] and data.sequence_info(0).visible.tolist() == [True]
    frames = data.frames(0, [0, 0])
    assert len(frames) == 2 and np.array_equal(frames[1], scene(1))
    with pytest.raises(AnnotationError, match="elsewhere is not a folder"):
        CocoFormat(path, tmp_path / "elsewhere", "mine")


def test_a_changed_file_is_read_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path / "mine.json", {"id": 3, "image_id": "a", "bbox": [1, 2, 30, 20]})
    assert len(CocoFormat(path, tmp_path, "mine")) == 1 and index_file("mine", tmp_path).is_file()
    write(path, *({"id": k, "image_id": "a", "bbox": [1, 2, 30, 20]} for k in range(3)))
    assert len(CocoFormat(path, tmp_path, "mine")) == 3 and "out of date" in capsys.readouterr().err


def test_what_a_split_names(tmp_path):
    assert coco_format_files(tmp_path, "a/train.json:img/t") == (tmp_path / "a/train.json", tmp_path / "img/t")
    assert coco_format_files(tmp_path, "train.json") == (tmp_path / "train.json", tmp_path / "images")
    assert coco_format_files(tmp_path, "train.json:.")[1] == tmp_path


def test_a_box_comes_from_the_mask_where_there_is_none(tmp_path):
    mask = np.zeros((48, 64), bool)
    mask[5:25, 11:41] = True
    path = write(
        tmp_path / "mine.json",
        {"id": 1, "image_id": "a", "segmentation": [[2.5, 3, 22.5, 3, 12, 31.5], [30, 10, 40, 10, 35, 20]]},
        {"id": 2, "image_id": "a", "segmentation": {"size": [48, 64], "counts": run_lengths(mask)}},
        {"id": 3, "image_id": "a", "bbox": [1, 2, 3, 4], "segmentation": []},
    )
    assert [item.box for item in read_objects(path)] == [(2.5, 3, 37.5, 28.5), (11, 5, 30, 20), (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "annotation",
    [
        {"image_id": "a"},
        {"image_id": "b", "bbox": [1, 2, 3, 4]},
        {"image_id": "a", "bbox": [1, 2, 3]},
        {"image_id": "a", "bbox": [1, 2, 3, "4"]},
        {"image_id": "a", "bbox": [1, 2, 3, True]},
        {"image_id": "a", "segmentation": [["1", "2", "3", "4", "5", "6"]]},
        {"image_id": "a", "segmentation": [[1, 2, 3, 4]]},
        {"image_id": "a", "segmentation": {"size": [4, 4], "counts": [3]}},
        {"image_id": "a", "segmentation": {"counts": [3]}},
    ],
)
def test_a_bad_annotation_is_named(tmp_path, annotation):
    path = write(tmp_path / "mine.json", {"id": 77, **annotation})
    with pytest.raises(AnnotationError, match=r"mine\.json is not a COCO instances file: annotation 77"):
        read_objects(path)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10_000))
def test_run_lengths_are_undone(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    found = decode_mask({"size": [height, width], "counts": run_lengths(mask)}, (0, 0))
    assert np.array_equal(found > 0, mask)
    rows, cols = np.nonzero(mask)
    box = mask_box({"size": [height, width], "counts": run_lengths(mask)})
    if len(rows):
        assert box == (cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1)
    else:
        assert box[2:] == (0, 0)


def test_a_polygon_covers_its_pixels():
    mask = decode_mask([[10, 5, 30, 5, 30, 25, 10, 25]], (64, 48))
    assert mask.shape == (48, 64) and set(np.unique(mask)) == {0, 255}
    wanted = np.zeros((48, 64), bool)
    wanted[5:25, 10:30] = True
    differing = (mask > 0) != wanted
    assert differing.sum() <= 2 * (20 + 20), "at most the border, which runs between pixels"
    assert (mask[6:24, 11:29] > 0).all()


def test_compressed_masks_agree_with_pycocotools():
    from pycocotools import mask as coco_mask

    drawn = np.random.default_rng(0).random((30, 40)) < 0.3
    coded = coco_mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
    segmentation = {"size": coded["size"], "counts": coded["counts"].decode()}
    assert np.array_equal(decode_mask(segmentation, (0, 0)) > 0, drawn)


def test_compressed_masks_without_pycocotools_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    segmentation = {"size": [48, 64], "counts": "PPYo0"}
    path = write(
        tmp_path / "mine.json", {"id": 1, "image_id": "a", "bbox": [5, 5, 30, 30], "segmentation": segmentation}
    )
    with pytest.raises(AnnotationError, match=r"pip install 'ebm-tracking\[coco\]'"):
        MaskCutouts(read_objects(path), tmp_path)


def test_masks_become_cutouts_and_composited_video(tmp_path):
    root = make_coco(tmp_path)
    folder = root / "images" / "train2017"
    objects = read_objects(root / "annotations" / "instances_train2017.json")
    cutouts = MaskCutouts(objects, folder)
    assert len(objects) == len(cutouts) == 8
    (rgba,) = cutouts[0]
    # A polygon's border runs between pixels.
    assert (
        rgba.shape[2] == 4 and abs(np.array(rgba.shape[:2]) - (20, 24)).max() <= 1 and rgba[4:-4, 4:-4, 3].min() == 255
    )
    assert cutouts[1][0].shape == (20, 24, 4), "run lengths are exact"
    assert len(MaskCutouts(objects, folder, smallest=22)) == 0
    video = CompositedVideo(cutouts, [folder / objects[0].image], 10)
    assert video.frames(0, [5])[0].dtype == np.uint8 and (video.sequence_info(0).boxes[:, 2:] > 0).all()


def test_a_mask_of_another_size_is_named(tmp_path):
    write_image(tmp_path / "sub" / "one.png", scene(1, 60, 48))
    mask = np.zeros((48, 64), bool)
    mask[5:35, 5:35] = True
    segmentation = {"size": [48, 64], "counts": run_lengths(mask)}
    path = write(
        tmp_path / "mine.json", {"id": 9, "image_id": "a", "bbox": [5, 5, 30, 30], "segmentation": segmentation}
    )
    with pytest.raises(AnnotationError, match=r"one\.png has 60 x 48 pixels, the mask of annotation 9 has 64 x 48"):
        MaskCutouts(read_objects(path), tmp_path)[0]


def turned_jpeg(path, orientation, size=(96, 64)):
    """A JPEG with an orientation, grey but for a bright thing at stored (10, 20, 24, 16); its box in upright pixels."""
    image = np.full((size[1], size[0], 3), 70, np.uint8)
    image[20:36, 10:34] = 250
    exif = Image.Exif()
    exif[274] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, exif=exif, quality=95)
    rows, columns = np.nonzero(read_image(path)[..., 0] > 160)
    return [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("annotated", ["upright", "as stored"])
def test_boxes_and_masks_lie_on_the_thing_whichever_way_the_image_was_annotated(tmp_path, orientation, annotated):
    upright = turned_jpeg(tmp_path / "images" / "one.jpg", orientation)
    x, y, w, h = box = [10, 20, 24, 16] if annotated == "as stored" and orientation > 4 else upright
    size = (64, 96) if annotated == "upright" and orientation > 4 else (96, 64)
    mask = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    content = {
        "images": [{"id": "a", "file_name": "one.jpg", "width": size[0], "height": size[1]}],
        "annotations": [{"id": 1, "image_id": "a", "bbox": box, "segmentation": mask}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(content))
    data = CocoFormat(tmp_path / "mine.json", tmp_path / "images", "mine")
    image = data.frames(0, [0])[0]
    assert image.shape[1::-1] == size and data.sequence_name(0) == "one.jpg#1"
    inside = image[y + 2 : y + h - 2, x + 2 : x + w - 2]
    assert inside.min() > 200 and (image > 160).sum() < 1.3 * 3 * w * h
    (cutout,) = MaskCutouts(read_objects(tmp_path / "mine.json"), tmp_path / "images", smallest=8)[0]
    assert cutout[4:-4, 4:-4, :3].min() > 200
    findings = dict(inspect_coco(tmp_path / "mine.json", tmp_path / "images", map))
    assert [finding.kind for finding in findings["one.jpg"]] == (["note"] if orientation in (2, 3, 4) else [])


def test_an_image_of_another_size_than_annotated_is_refused(tmp_path):
    write_image(tmp_path / "pictures" / "sub" / "one.png", scene(1, 60, 48))
    path = write(tmp_path / "mine.json", {"id": 3, "image_id": "a", "bbox": [1, 2, 30, 20]})
    with pytest.raises(ImageError, match=r"one\.png has 60 x 48 pixels, but its annotation says 64 x 48"):
        CocoFormat(path, tmp_path / "pictures", "mine").frames(0, [0])
    (_, findings), *_ = inspect_coco(path, tmp_path / "pictures", map)
    assert [finding.kind for finding in findings] == ["wrong size"]
