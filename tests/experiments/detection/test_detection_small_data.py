"""COCO-format data from images with boxes, made detections, and reading both formats."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_detection import small_data, write_source

from experiments.detection import __main__ as command
from experiments.detection.coco_files import (
    Detections,
    average_precision,
    mean_overlap,
    read_instances,
    read_results,
    write_results,
)
from experiments.detection.small_data import CATEGORY_IDS, JitterSettings, make_small, write_jittered
from ltr.errors import AnnotationError, UserError


def annotated(instances):
    return [
        (image.identity, Detections(image.boxes, torch.ones(len(image.boxes)), image.classes))
        for image in instances.images
    ]


def test_a_small_data_set_has_every_image_once_and_the_boxes_of_the_source(tmp_path):
    data = small_data(tmp_path)
    found = {
        split: read_instances(data / f"instances_{split}.json", data / "images") for split in ("train", "tune", "val")
    }
    assert [len(each.images) for each in found.values()] == [5, 1, 2]
    names = [image.path.name for each in found.values() for image in each.images]
    assert sorted(names) == [f"{k:03d}.png" for k in range(8)]
    image = found["val"].images[0]
    lines = [
        line for line in (tmp_path / "source/boxes.csv").read_text().splitlines() if line.startswith(image.path.name)
    ]
    assert image.boxes.tolist() == [[float(value) for value in line.split(",")[1:5]] for line in lines]
    assert image.classes.tolist() == [CATEGORY_IDS["dog"], CATEGORY_IDS["person"]] == [18, 1]
    assert image.path.is_file() and found["val"].categories[18] == "dog" and len(found["val"].categories) == 80


def test_the_split_and_the_detections_are_the_same_every_time(tmp_path):
    source = write_source(tmp_path / "source")
    for name in ("a", "b"):
        make_small(source, tmp_path / name, JitterSettings())
    for file in ("instances_train.json", "detections_val.json", "detections_tune.json", "made.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",dog", ",dgo", "line 2: unknown COCO class 'dgo'; did you mean 'dog'"),
        (",dog", ",80", "line 2: unknown COCO class '80'"),
        ("image,x", "image,left", "line 2: 'x'"),
        (",0\n", ",0\n000.png,1,1,0,5,dog\n", "line 4: box"),
    ],
)
def test_a_faulty_csv_is_named_with_its_line(tmp_path, old, new, message):
    source = write_source(tmp_path / "source", 1)
    table = source / "boxes.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(AnnotationError, match=message):
        make_small(source, tmp_path / "data", JitterSettings())


def test_jitter_without_any_error_gives_the_annotations(tmp_path):
    data = small_data(tmp_path)
    instances = read_instances(data / "instances_val.json", data / "images")
    exact = JitterSettings(centre=0.0, size=0.0, missed=0.0, false_positives=0.0)
    write_jittered(instances, tmp_path / "exact.json", exact)
    found = read_results(tmp_path / "exact.json")
    for image in instances.images:
        torch.testing.assert_close(found[image.identity].boxes, image.boxes, atol=2e-3, rtol=0)
        assert found[image.identity].classes.tolist() == image.classes.tolist()
    assert average_precision(instances.path, tmp_path / "exact.json")["AP"] == pytest.approx(1.0)
    write_jittered(instances, tmp_path / "none.json", JitterSettings(missed=1.0, false_positives=0.0))
    assert read_results(tmp_path / "none.json") == {}


def test_perfect_boxes_have_an_average_precision_of_one_and_moved_ones_less(tmp_path):
    data = small_data(tmp_path)
    instances = read_instances(data / "instances_train.json", data / "images")
    perfect = dict(annotated(instances))
    write_results(tmp_path / "perfect.json", perfect.items())
    figures = average_precision(instances.path, tmp_path / "perfect.json")
    assert figures == pytest.approx({"AP": 1.0, "AP50": 1.0, "AP75": 1.0})
    # Half as high: an IoU of 0.5 counts for the lowest of the ten thresholds at most.
    low = {
        key: Detections(each.boxes * torch.tensor([1, 1, 1, 0.52]), each.scores, each.classes)
        for key, each in perfect.items()
    }
    write_results(tmp_path / "low.json", low.items())
    figures = average_precision(instances.path, tmp_path / "low.json")
    assert figures == pytest.approx({"AP": 0.1, "AP50": 1.0, "AP75": 0.0})
    assert mean_overlap(instances, perfect, perfect) == pytest.approx(1.0)
    assert mean_overlap(instances, perfect, low) == pytest.approx(0.52)


def test_average_precision_of_nothing_and_of_strange_images(tmp_path):
    data = small_data(tmp_path)
    (tmp_path / "none.json").write_text("[]")
    assert average_precision(data / "instances_val.json", tmp_path / "none.json")["AP"] == 0
    with pytest.raises(UserError, match="lacks"):
        average_precision(data / "instances_tune.json", data / "detections_val.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["annotations"][1].pop("bbox"), "annotation 2: KeyError"),
        (lambda content: content["annotations"][1].update(category_id=99), "annotation 2: .*no category 99"),
        (lambda content: content["annotations"][0].update(bbox=[1, 2, float("nan"), 4]), "annotation 1: .*not finite"),
        (lambda content: content.pop("categories"), "not a COCO instances file: KeyError"),
    ],
)
def test_a_faulty_annotation_is_named(tmp_path, change, message):
    path = small_data(tmp_path) / "instances_val.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=message):
        read_instances(path, path.parent / "images")


def test_crowds_and_slivers_are_left_out(tmp_path):
    path = small_data(tmp_path) / "instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1]["bbox"][2] = 1.0
    path.write_text(json.dumps(content))
    assert [len(image.boxes) for image in read_instances(path, path.parent / "images").images] == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "a list of detections is wanted"),
        ("[", "line 1: not JSON"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 0, 5], "score": 1}]', "entry 0"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5], "score": 1}]', "entry 0"),
    ],
)
def test_a_faulty_results_file_is_named(tmp_path, content, message):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(AnnotationError, match=message):
        read_results(tmp_path / "results.json")


def test_the_commands_make_data_and_detections(tmp_path, capsys):
    source = write_source(tmp_path / "source")
    assert command.main(["make-small", "--source", str(source), "--folder", str(tmp_path / "data")]) == 0
    assert "5 images in train, 1 images in tune, 2 images in val" in capsys.readouterr().out
    data = tmp_path / "data"
    arguments = [str(data / "instances_val.json"), str(data / "images"), str(tmp_path / "made.json")]
    assert command.main(["jitter", *arguments]) == 0
    assert (tmp_path / "made.json").read_text() == (data / "detections_val.json").read_text()
    with pytest.raises(UserError, match="did you mean 'centre'"):
        command.main(["jitter", *arguments, "--jitter", "center=0.1"])
    with pytest.raises(UserError, match="cannot read"):
        command.main(["make-small", "--source", str(tmp_path / "nowhere"), "--folder", str(data)])
