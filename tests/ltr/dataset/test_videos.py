"""LaSOT and TrackingNet in their official layouts, and recipes' sources by name, on miniature copies."""

from __future__ import annotations

import numpy as np
import pytest
from mini_training_sets import FRAMES, MAKERS, draw_frame, make_lasot, make_trackingnet, set_environment
from tiny_data import write_lines, write_sequence

from ltr.dataset import lasot
from ltr.dataset.lasot import Lasot
from ltr.dataset.tracking_net import TrackingNet, set_numbers
from ltr.errors import AnnotationError
from ltr.train_settings.recipe import DataSource
from ltr.train_settings.sources import SOURCES, open_sources


def same_picture(frame, seed, number):
    return abs(frame.astype(int) - draw_frame(seed, number)[0]).mean() < 12


def test_lasots_lists_are_those_of_the_field():
    members = {split: set(lasot.sequence_names(split)) for split in lasot.SPLITS}
    assert {split: len(names) for split, names in members.items()} == {
        "train": 1120,
        "train-train": 1000,
        "train-val": 120,
    }
    assert members["train-train"] | members["train-val"] == members["train"]
    assert len({name.rpartition("-")[0] for name in members["train"]}) == 70


def test_lasot(tmp_path):
    data = Lasot(make_lasot(tmp_path), "train")
    assert len(data) == 1120 and data.is_video and data.name == "lasot_train"
    assert data.sequence_name(0) == lasot.sequence_names("train")[0]
    info = data.sequence_info(1)
    assert info.boxes.shape == (FRAMES, 4) and info.boxes.dtype == np.float32
    assert info.boxes[5].tolist() == list(draw_frame(1, 5)[1]) and info.valid.all()
    assert np.flatnonzero(~info.visible).tolist() == [1, 2], "fully occluded, out of view"
    first, last = data.frames(1, [0, FRAMES - 1])
    assert same_picture(first, 1, 0) and same_picture(last, 1, FRAMES - 1)


def test_lasot_lacking_sequences_is_refused_unless_a_list_says_which(tmp_path):
    root = make_lasot(tmp_path / "lasot", links=False)
    with pytest.raises(
        AnnotationError,
        match=r"has 4 sequences; split 'train' of LaSOT lacks 1116, first airplane-\d+, .* and 1113 more: is",
    ):
        Lasot(root, "train")
    names = lasot.sequence_names("train")[:4]
    assert [Lasot(root, "all").sequence_name(k) for k in range(4)] == names
    chosen = Lasot(root, str(write_lines(tmp_path / "mine.txt", names[2:0:-1])))
    assert [chosen.sequence_name(k) for k in range(len(chosen))] == names[2:0:-1] and chosen.name == "lasot_mine"
    with pytest.raises(ValueError, match="did you mean 'train-val'"):
        Lasot(root, "train_val")
    with pytest.raises(FileNotFoundError, match="wanted LaSOT's <class>/<class>-<number>/"):
        Lasot(tmp_path / "nowhere")


@pytest.mark.parametrize("line", ["0,0,1", "0," * FRAMES + "0"])
def test_another_number_of_flags_than_boxes_is_refused(tmp_path, line):
    root = make_lasot(tmp_path, links=False)
    path = next(root.glob("*/*/full_occlusion.txt"))
    write_lines(path, [line])
    with pytest.raises(AnnotationError, match=rf"full_occlusion\.txt: (3|13) flags for {FRAMES} boxes"):
        Lasot(root, "all")


def test_trackingnet(tmp_path):
    root = make_trackingnet(tmp_path, sets=3)
    data = TrackingNet(root, "0-2")
    assert [data.sequence_name(k) for k in range(len(data))] == [f"vid{s}{k}_0" for s in range(3) for k in range(2)]
    assert same_picture(data.frames(3, [11])[0], 11, 11), "frames count from 0, without padding"
    assert data.sequence_info(3).boxes[11].tolist() == list(draw_frame(11, 11)[1])
    write_lines(root / "TRAIN_1" / "anno" / "vid10_0.txt", ["1,2,3,4", "0,0,0,0", "nan,nan,nan,nan"])
    assert TrackingNet(root, "1").sequence_info(0).visible.tolist() == [True, False, False]
    with pytest.raises(AnnotationError, match=r"TRAIN_3/anno is not a folder: split '0-3' of TrackingNet wants sets"):
        TrackingNet(root, "0-3")


def test_trackingnets_sets():
    assert set_numbers("0-3") == [0, 1, 2, 3] == set_numbers("train")
    assert set_numbers("11,0-1, 1") == [11, 0, 1] and len(set_numbers("all")) == 12
    for split in ("vottrain", "", "-1", "12", "3-1", "0-12"):
        with pytest.raises(ValueError, match="TrackingNet"):
            set_numbers(split)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A miniature copy of every data set that a recipe can name, as environment variables."""
    root = tmp_path_factory.mktemp("copies")
    for name in ("one", "two", "three"):
        write_sequence(root / "folder" / name, ["20,10,20,20"] * 3)
    write_sequence(root / "folder" / "four", ["20,10,20,20"] * 3)
    made = {f"EBM_TRACKING_{name.upper()}": str(make(root / name)) for name, make in MAKERS.items()}
    return {
        **made,
        "EBM_TRACKING_FOLDER": str(root / "folder"),
        "EBM_TRACKING_COCO_FORMAT": str(root / "coco"),
        "EBM_TRACKING_PATHS": str(root / "none.toml"),
    }


SPLITS = {
    "lasot": ("train", 1120),
    "trackingnet": ("0-3", 8),
    "got10k": ("vottrain", 7086),
    "coco": ("train2017", 8),
    "coco_format": ("annotations/instances_train2017.json:images/train2017", 8),
    "composited": ("annotations/instances_train2017.json:images/train2017", 1_000_000),
    "folder": ("all", 4),
    "lite": ("train", 1_000_000),
}


def test_every_source_has_a_case():
    assert set(SPLITS) == set(SOURCES)


@pytest.mark.parametrize("name", SPLITS)
def test_every_source_opens_by_name(copies, monkeypatch, name):
    set_environment(monkeypatch, copies)
    split, count = SPLITS[name]
    ((data, weight),) = open_sources((DataSource(name, split, 2.0),), seed=0)
    assert len(data) == count and weight == pytest.approx(2.0)
    info = data.sequence_info(1)
    (frame,) = data.frames(1, [0])
    assert info.visible.any() and frame.dtype == np.uint8 and frame.shape[2] == 3
    assert data.sequence_name(1)


def test_a_folder_is_split_by_name(copies, monkeypatch):
    set_environment(monkeypatch, copies)

    def names(split):
        ((data, _),) = open_sources((DataSource("folder", split),), seed=0)
        return {data.sequence_name(k) for k in range(len(data))}

    train = names("train")
    assert train <= names("all") == {"one", "two", "three", "four"}
    with pytest.raises(ValueError, match="unknown split of folder 'trian'; did you mean 'train'"):
        names("trian")


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(ValueError, match="unknown training data set 'trackingnets'; did you mean 'trackingnet'"):
        open_sources((DataSource("trackingnets", "0-3"),), seed=0)
