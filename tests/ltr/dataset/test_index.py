"""The cached index: the annotations of the files, made anew where it is stale or damaged, never trusted blindly."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mini_training_sets import make_trackingnet
from tiny_data import write_lines, write_sequence

from ltr.admin.paths import cache_folder
from ltr.dataset import index as index_module
from ltr.dataset.folders import FolderSequences
from ltr.dataset.index import index_file, make_index
from ltr.dataset.tracking_net import TrackingNet
from ltr.errors import AnnotationError


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))
    return make_trackingnet(tmp_path / "data", sets=1)


@pytest.fixture
def reads(monkeypatch):
    """How often annotations were read rather than taken from the index."""
    counted = []
    original = index_module.read_index

    def read_index(names, read, title):
        counted.append(len(names))
        return original(names, read, title)

    monkeypatch.setattr("ltr.dataset.index.read_index", read_index)
    return counted


def everything(data):
    infos = [data.sequence_info(k) for k in range(len(data))]
    names = [data.sequence_name(k) for k in range(len(data))]
    return names, [(info.boxes.tolist(), info.valid.tolist(), info.visible.tolist()) for info in infos]


def test_the_second_start_reads_no_annotation(root, reads, tmp_path, capsys):
    write_lines(root / "TRAIN_0" / "anno" / "vid01_0.txt", ["1,2,3,4", "1,2,3,0"])
    first = everything(TrackingNet(root, "0"))
    assert reads == [2] and index_file("trackingnet_0", root).parent == tmp_path / "cache" / "index"
    assert everything(TrackingNet(root, "0")) == first and reads == [2]
    assert first[1][1] == ([[1, 2, 3, 4], [1, 2, 3, 0]], [True, False], [True, False])
    assert capsys.readouterr().err == ""


def touch_later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def change(path):
    path.write_text(path.read_text().replace("14", "15", 1))


def rename(path):
    path.rename(path.with_name("vid99_0.txt"))


@pytest.mark.parametrize("alter", [touch_later, change, rename, shutil.os.remove], ids=lambda f: f.__name__)
def test_annotations_that_changed_are_read_again(root, reads, capsys, alter):
    before = everything(TrackingNet(root, "0"))
    alter(root / "TRAIN_0" / "anno" / "vid00_0.txt")
    after = everything(TrackingNet(root, "0"))
    assert len(reads) == 2 and (after == before) == (alter is touch_later)
    assert "is out of date: reading the annotations of trackingnet_0 again" in capsys.readouterr().err
    assert everything(TrackingNet(root, "0")) == after and len(reads) == 2


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(14).tobytes() + np.float32(12).tobytes())] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def other_content(path):
    np.savez(path.open("wb"), names=np.zeros(3))


@pytest.mark.parametrize("harm", [cut_short, flip_a_bit, empty, other_content], ids=lambda f: f.__name__)
def test_a_damaged_index_is_made_anew_and_that_is_said(root, reads, capsys, harm):
    before = everything(TrackingNet(root, "0"))
    harm(index_file("trackingnet_0", root))
    assert everything(TrackingNet(root, "0")) == before and len(reads) == 2
    assert "trackingnet_0" in (said := capsys.readouterr().err) and "is damaged" in said
    assert everything(TrackingNet(root, "0")) == before and len(reads) == 2


def test_a_cache_that_cannot_be_written_is_no_obstacle(root, reads, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "file"))
    first = everything(TrackingNet(root, "0"))
    assert everything(TrackingNet(root, "0")) == first and reads == [2, 2]
    assert "cannot be kept" in (said := capsys.readouterr().err) and "EBM_TRACKING_CACHE names another" in said


def test_two_copies_and_two_splits_have_an_index_each(root, reads, tmp_path):
    shutil.copytree(root, tmp_path / "other")
    make_trackingnet(root, sets=2)
    for _ in range(2):
        for place, split in ((root, "0"), (root, "0-1"), (tmp_path / "other", "0")):
            TrackingNet(place, split)
    assert reads == [2, 4, 2]


def test_choices_from_one_folder_do_not_push_each_other_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        write_sequence(tmp_path / "data" / name, ["1,2,30,40"] * 2)
    for _ in range(2):
        for names in (["a"], ["b"], None):
            FolderSequences(tmp_path / "data", names)
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 3 and capsys.readouterr().err == ""


def test_frames_that_vanish_after_indexing_are_noticed(tmp_path, monkeypatch):
    from ltr.dataset import folders

    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))
    folder = write_sequence(tmp_path / "data" / "a", ["1,2,30,40"] * 3)
    FolderSequences(tmp_path / "data")
    (folder / "img" / "0002.png").unlink()
    folders.list_frames.cache_clear()
    with pytest.raises(AnnotationError, match="a/img: 2 images but 3 boxes"):
        FolderSequences(tmp_path / "data").frames(0, [0])


def test_the_first_bad_annotation_in_order_is_named(root):
    for name in ("vid00_0", "vid01_0"):
        write_lines(root / "TRAIN_0" / "anno" / f"{name}.txt", ["1,2,3"])
    with pytest.raises(AnnotationError, match=r"vid00_0\.txt, line 1: expected 4 numbers, found 3"):
        TrackingNet(root, "0")
    assert not index_file("trackingnet_0", root).exists()


def test_the_cache_lies_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("EBM_TRACKING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ebm-tracking"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ebm-tracking"


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="\0"), min_size=1), st.integers(0, 5)), max_size=6))
def test_an_index_gives_back_what_was_put_in(sequences):
    rng = np.random.default_rng(0)
    annotations = [(rng.normal(size=(length, 4)), rng.random(length) < 0.5) for _, length in sequences]
    made = make_index([name for name, _ in sequences], annotations)
    assert len(made) == len(sequences)
    for k, ((name, _), (boxes, visible)) in enumerate(zip(sequences, annotations)):
        info = made.info(k)
        assert made.name(k) == name and np.array_equal(info.boxes, boxes.astype(np.float32))
        assert np.array_equal(info.visible, visible) and info.boxes.shape == (len(boxes), 4)
