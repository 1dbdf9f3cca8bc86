"""GOT-10k's official layout, in small, and the lists of its splits."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_data import write_image, write_lines

from ltr.dataset import got10k
from ltr.dataset.got10k import SPLITS, Got10k, split_indices
from ltr.errors import AnnotationError


def write_got10k(root, numbers, frames=4):
    for number in numbers:
        folder = root / "train" / f"GOT-10k_Train_{number:06d}"
        for t in range(frames):
            write_image(folder / f"{t + 1:08d}.jpg", np.full((48, 64, 3), 20 * t, np.uint8))
        write_lines(folder / "groundtruth.txt", [f"{number}.0000,2.0000,30.0000,20.0000"] * frames)
        write_lines(folder / "absence.label", ["0"] * frames)
        write_lines(folder / "cover.label", ["8"] * frames)
        write_lines(folder / "meta_info.ini", ["[METAINFO]", "object_class: cup"])
    return root / "train"


@pytest.fixture
def short_split(monkeypatch):
    monkeypatch.setattr(got10k, "split_indices", lambda split: [2, 0])


def test_the_lists_are_those_of_the_field():
    counts = {split: len(split_indices(split)) for split in SPLITS}
    assert counts == {"train": 7934, "val": 1401, "vottrain": 7086, "votval": 1249}
    members = {split: set(split_indices(split)) for split in SPLITS}
    assert members["train"] | members["val"] == set(range(9335))
    assert not members["train"] & members["val"] and not members["vottrain"] & members["votval"]
    assert members["vottrain"] < members["train"] and members["votval"] < members["val"]


def test_an_unknown_split_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'vottrain'"):
        Got10k(write_got10k(tmp_path, [1]), "vot_train")


@pytest.mark.parametrize("inner", [False, True])
def test_sequences_are_chosen_by_their_official_numbers(tmp_path, short_split, inner):
    train = write_got10k(tmp_path, [1, 2, 3, 4])
    data = Got10k(train if inner else tmp_path, "vottrain")
    assert [data.sequence_name(k) for k in range(len(data))] == ["GOT-10k_Train_000003", "GOT-10k_Train_000001"]
    assert data.is_video and data.name == "got10k_vottrain"
    info = data.sequence_info(0)
    assert info.boxes.tolist() == [[3, 2, 30, 20]] * 4 and info.visible.all()
    assert [round(float(frame.mean())) for frame in data.frames(0, [3, 1])] == [60, 20]


@pytest.mark.parametrize("place", [".", "train", "val"])
def test_the_official_validation_set_is_a_split(tmp_path, monkeypatch, place):
    monkeypatch.setattr(got10k, "OFFICIAL", 2)
    train = write_got10k(tmp_path, [1, 2])
    for number in (1, 2):
        (tmp_path / "val").mkdir(exist_ok=True)
        (train / f"GOT-10k_Train_{number:06d}").rename(tmp_path / "val" / f"GOT-10k_Val_{number:06d}")
    data = Got10k(tmp_path / place, "official_val")
    assert [data.sequence_name(k) for k in range(len(data))] == ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]
    assert data.name == "got10k_official_val"
    assert data.sequence_info(1).boxes.tolist() == [[2, 2, 30, 20]] * 4
    assert [round(float(frame.mean())) for frame in data.frames(1, [3])] == [60]
    (tmp_path / "val" / "GOT-10k_Val_000002" / "cover.label").unlink()
    (tmp_path / "val" / "GOT-10k_Val_000001").rename(tmp_path / "gone")
    with pytest.raises(AnnotationError, match="lacks 1, first GOT-10k_Val_000001: is the copy whole"):
        Got10k(tmp_path / place, "official_val")


def test_absent_covered_and_empty_targets_are_not_visible(tmp_path):
    folder = write_got10k(tmp_path, [1], frames=6) / "GOT-10k_Train_000001"
    boxes = ["1,2,30,20", "1,2,30,20", "1,2,30,20", "1,2,0,20", "nan,nan,nan,nan", "1,2,30,20"]
    write_lines(folder / "groundtruth.txt", boxes)
    write_lines(folder / "absence.label", ["0", "1", "0", "0", "0", "0"])
    write_lines(folder / "cover.label", ["8", "8", "0", "8", "8", "1"])
    info = Got10k(tmp_path, "all").sequence_info(0)
    assert info.valid.tolist() == [True, True, True, False, False, True]
    assert info.visible.tolist() == [True, False, False, False, False, True]


def test_a_missing_sequence_does_not_shift_the_others(tmp_path, short_split):
    write_got10k(tmp_path, [1, 2, 4])
    with pytest.raises(AnnotationError, match="lacks 1, first GOT-10k_Train_000003: is the copy whole"):
        Got10k(tmp_path, "vottrain")


def test_a_wrong_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="wanted GOT-10k's train/"):
        Got10k(tmp_path / "nowhere", "all")
    with pytest.raises(AnnotationError, match="has 0 sequences; split 'all' of GOT-10k lacks 0: is the copy whole"):
        Got10k(tmp_path, "all")


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("groundtruth.txt", ["1,2,3,4", "1,2,3"], r"groundtruth\.txt, line 2: expected 4 numbers, found 3"),
        ("cover.label", ["8", "8", "full", "8"], r"cover\.label, line 3: 'full' is not a whole number"),
        ("absence.label", ["0", "0"], r"absence\.label: 2 flags for 4 boxes"),
    ],
)
def test_a_bad_annotation_is_named_with_its_line(tmp_path, file, lines, message):
    write_lines(write_got10k(tmp_path, [1]) / "GOT-10k_Train_000001" / file, lines)
    with pytest.raises(AnnotationError, match=message):
        Got10k(tmp_path, "all")


def test_a_missing_label_file_is_named(tmp_path):
    (write_got10k(tmp_path, [1]) / "GOT-10k_Train_000001" / "cover.label").unlink()
    with pytest.raises(AnnotationError, match=r"cannot read .*cover\.label"):
        Got10k(tmp_path, "all")
