"""Plain folders: sequences with a box file, images with a table."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_data import scene, write_image, write_lines, write_sequence

from ltr.dataset.folders import FolderSequences, ImageBoxes, folder_split
from ltr.errors import AnnotationError
from ltr.run_check import main


def test_a_folder_of_sequences(tmp_path):
    write_sequence(tmp_path / "b", ["1,2,30,40", "3,4,30,40"])
    write_sequence(tmp_path / "a", ["1 2 30 40", "nan nan nan nan", "5 6 30 0", "7 8 3 9"])
    (tmp_path / "not a sequence").mkdir()
    data = FolderSequences(tmp_path, smallest=4)
    assert len(data) == 2 and data.is_video and [data.sequence_name(k) for k in range(2)] == ["a", "b"]
    info = data.sequence_info(0)
    assert info.boxes.shape == (4, 4) and info.boxes[0].tolist() == [1, 2, 30, 40]
    assert info.valid.tolist() == [True, False, False, True]
    assert info.visible.tolist() == [True, False, False, False], "a side of 3 pixels is too small to learn from"
    assert [int(frame[0, 0, 0]) for frame in data.frames(0, [3, 0, 3])] == [30, 0, 30]
    chosen = FolderSequences(tmp_path, ["b"], "chosen")
    assert (len(chosen), chosen.name, chosen.sequence_name(0)) == (1, "chosen", "b")


def test_wrong_folders_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder of sequences"):
        FolderSequences(tmp_path / "nowhere")
    with pytest.raises(
        AnnotationError, match=r"has no sequences: wanted .*<sequence>/img/\*\.jpg and groundtruth_rect\.txt"
    ):
        FolderSequences(tmp_path)
    write_sequence(tmp_path / "a", ["1,2,3,4"] * 3, frames=2)
    with pytest.raises(AnnotationError, match="a/img: 2 images but 3 boxes"):
        FolderSequences(tmp_path)
    with pytest.raises(AnnotationError, match="unknown sequence 'gone'"):
        FolderSequences(tmp_path, ["gone"])


def test_images_with_a_table_of_boxes(tmp_path):
    for k in range(3):
        write_image(tmp_path / "images" / f"{k}.png", scene(k))
    # The order of the columns is free, further columns are left alone.
    rows = ["image,category,x,y,w,h", "0.png,cup,1.5,2,20,16", "0.png,cup,5,6,15,30", "1.png,cat,0,0,30,40"]
    write_lines(tmp_path / "boxes.csv", [*rows, "2.png,dog,0,0,40,40"])
    data = ImageBoxes(tmp_path, "things", smallest=16, keep=frozenset({"0.png", "1.png"}))
    assert len(data) == 2 and not data.is_video, "one box is too small, one image is not kept"
    info = data.sequence_info(0)
    assert info.boxes.tolist() == [[1.5, 2, 20, 16]] and info.valid.all() and info.visible.all()
    frames = data.frames(1, [0, 0])
    assert len(frames) == 2 and np.array_equal(frames[0], scene(1))
    assert data.sequence_name(0) != data.sequence_name(1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.png,1,2,3", "line 4: wanted an image and four numbers"),
        ("0.png,1,2,wide,4", "line 4: wanted an image and four numbers"),
        ("0.png,1,2,nan,4", "line 4: wanted an image and four numbers"),
        (",1,2,3,4", "line 4: wanted an image and four numbers"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, message):
    write_lines(tmp_path / "boxes.csv", ["image,x,y,w,h", "0.png,1,2,3,4", "0.png,1,2,30,40", row])
    with pytest.raises(AnnotationError, match=rf"boxes\.csv, {message}"):
        ImageBoxes(tmp_path, "things")


def test_a_table_of_another_kind_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"boxes\.csv: no such file"):
        ImageBoxes(tmp_path, "things")
    write_lines(tmp_path / "boxes.csv", ["file,x,y,width,height"])
    with pytest.raises(AnnotationError, match=r"boxes\.csv lacks the columns \['h', 'image', 'w'\]"):
        ImageBoxes(tmp_path, "things")


def test_a_split_without_sequences_is_named_with_its_data_set_also_by_the_check(tmp_path, capsys):
    for name in ("a", "b"):
        write_sequence(tmp_path / name, ["1,2,30,40"] * 2)
    with pytest.raises(AnnotationError, match="none of the 2 sequences is in split 'val' of data set 'folder'"):
        folder_split(tmp_path, "val")
    assert folder_split(tmp_path, "train") == ["a", "b"]
    assert main(["folder", "--path", str(tmp_path), "--split", "val"]) == 2
    assert "split 'val' of data set 'folder'" in capsys.readouterr().err
