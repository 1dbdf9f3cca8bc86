"""Evaluation data sets: the demo clips, folders of sequences, OTB's layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltr.dataset.folders import FolderSequences
from ltr.errors import UserError
from pytracking.evaluation import datasets
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset


def test_the_demo_clips_come_with_the_package() -> None:
    sequences = {sequence.name: sequence for sequence in get_dataset("demo")}
    assert {name: len(sequence.frames) for name, sequence in sequences.items()} == {
        "ball": 83,
        "dog": 97,
        "girl": 100,
        "juggler": 83,
        "mug": 96,
    }
    assert sequences["ball"].frames == sequences["juggler"].frames
    assert sequences["mug"].image_size == (640, 360)
    assert sequences["mug"].init_info() == {"init_bbox": [400.4, 208.3, 93.6, 99.7]}
    dog = sequences["dog"]
    assert dog.target_visible is not None
    assert np.flatnonzero(~dog.target_visible).tolist() == list(range(23, 36))
    assert np.isnan(dog.ground_truth_rect[~dog.target_visible]).all()
    for sequence in sequences.values():
        assert all(frame.is_file() for frame in sequence.frames)
        assert sequence.ground_truth_rect.dtype == np.float64


def test_a_folder_of_sequences(sequence_root: Path) -> None:
    near, far = get_dataset("folder", path=sequence_root, sequences=["near", "group_far"])
    assert (near.name, far.name) == ("near", "group_far")
    assert [frame.name for frame in near.frames] == [f"{number:04d}.png" for number in range(1, 7)]
    assert near.ground_truth_rect[5].tolist() == [30, 24, 28, 24]
    assert near.has_ground_truth


def test_frames_are_sorted_by_number(sequence_root: Path) -> None:
    for file in (sequence_root / "near" / "img").iterdir():
        file.rename(file.with_name(f"frame{2 * int(file.stem)}.png"))
    (near,) = get_dataset("folder", path=sequence_root, sequences=["near"])
    assert [frame.stem for frame in near.frames] == [f"frame{number}" for number in (2, 4, 6, 8, 10, 12)]


def test_sequences_by_number_and_environment(sequence_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_TRACKING_FOLDER", str(sequence_root))
    names = [sequence.name for sequence in get_dataset("folder")]
    assert names == ["group_far", "near"]
    for sequences in (["1"], [1], "near"):
        assert [sequence.name for sequence in get_dataset("folder", sequences=sequences)] == ["near"]


def test_a_lone_zero_of_a_folder_is_an_absent_target(sequence_root: Path) -> None:
    annotation = sequence_root / "near" / "groundtruth_rect.txt"
    lines = annotation.read_text().splitlines()
    annotation.write_text("\n".join([*lines[:2], "0", *lines[3:]]))
    (near,) = get_dataset("folder", path=sequence_root, sequences=["near"])
    assert near.target_visible is not None
    assert near.target_visible.tolist() == [True, True, False, True, True, True]
    assert FolderSequences(sequence_root, ["near"]).sequence_info(0).visible.tolist() == near.target_visible.tolist()


@pytest.mark.parametrize(
    ("names", "sequences", "message"),
    [
        (["dmeo"], None, "unknown data set 'dmeo'; did you mean 'demo'"),
        (["zzz"], None, "choose from davis, demo, folder, got10k_test"),
        (["demo"], ["jugler"], "unknown sequence of demo 'jugler'; did you mean 'juggler'"),
        (["demo"], ["17"], "unknown sequence of demo '17'"),
        (["demo"], [], "no sequence of demo is named; leave `sequences` out for all: ball, dog, girl and 2 more"),
        ([], None, "name a data set"),
        (["demo", "demo"], None, "share a sequence name, 'ball'"),
        (["otb"], None, "EBM_TRACKING_OTB.*--dataset_path"),
    ],
)
def test_unknown_names(names: list[str], sequences: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_dataset(*names, sequences=sequences)


def test_annotation_and_frames_must_agree(sequence_root: Path) -> None:
    annotation = sequence_root / "near" / "groundtruth_rect.txt"
    lines = annotation.read_text().splitlines()
    annotation.write_text("\n".join(lines[:4]))
    with pytest.raises(UserError, match=r"groundtruth_rect\.txt: 4 boxes for 6 frames"):
        get_dataset("folder", path=sequence_root)
    annotation.write_text(lines[0])
    (near,) = get_dataset("folder", path=sequence_root, sequences=["near"])
    assert not near.has_ground_truth


def test_folders_without_sequences_or_frames(sequence_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        get_dataset("folder", path=tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no sequences"):
        get_dataset("folder", path=tmp_path / "empty")
    for file in (sequence_root / "near" / "img").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="no frames"):
        get_dataset("folder", path=sequence_root)
    (sequence_root / "near" / "img").rmdir()
    with pytest.raises(UserError, match="no such folder of frames"):
        get_dataset("folder", path=sequence_root)


def test_two_folders_of_one_name_are_refused(sequence_root: Path) -> None:
    (sequence_root / "near").rename(sequence_root / "group_far")
    with pytest.raises(UserError, match="two sequences are named 'group_far'"):
        get_dataset("folder", path=sequence_root)


def write_otb(root: Path, name: str, numbers: range, suffix: str = "jpg", folder: str = "img") -> None:
    (root / name / folder).mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(root / name / folder / f"{number:04d}.{suffix}"), np.zeros((9, 9, 3), np.uint8))


def test_otb_layout_frame_ranges_and_omitted_frames(tmp_path: Path) -> None:
    write_otb(tmp_path, "Tiger1", range(1, 355))
    boxes = "".join(f"{number}\t2\t3\t4\n" for number in range(1, 355))
    (tmp_path / "Tiger1" / "groundtruth_rect.txt").write_text(boxes)
    (tiger,) = get_dataset("otb", path=tmp_path, sequences=["Tiger1"])
    assert (tiger.frames[0].name, tiger.frames[-1].name, len(tiger.frames)) == ("0006.jpg", "0354.jpg", 349)
    assert tiger.ground_truth_rect[0].tolist() == [6, 2, 3, 4]

    write_otb(tmp_path, "KiteSurf", range(1, 85), suffix="png")
    (tmp_path / "KiteSurf" / "groundtruth_rect.txt").write_text("1,2,3,4\n" * 84)
    (kite,) = get_dataset("otb", path=tmp_path, sequences=["KiteSurf"])
    assert kite.frames[0] == tmp_path / "KiteSurf" / "img" / "0001.png"

    with pytest.raises(UserError, match=r"Basketball.*no such frame; is .* the folder of OTB-100"):
        get_dataset("otb", path=tmp_path)


def test_otb_has_a_hundred_sequences(tmp_path: Path) -> None:
    sequences = {files.name for files in datasets.LISTERS["otb"](tmp_path)}
    assert len(sequences) == 100
    assert {"Jogging_1", "Jogging_2", "Skating2_1", "Human4_2"} <= set(sequences)


def test_the_demo_clips_carry_their_data_sets_name() -> None:
    entries = json.loads((Path(datasets.__file__).parents[1] / "demo_data" / "sequences.json").read_text())
    assert [sequence.dataset for sequence in get_dataset("demo")] == ["demo"] * len(entries)


def test_a_sequence_checks_its_shapes() -> None:
    frames = [Path("a"), Path("b"), Path("c")]
    with pytest.raises(ValueError, match="3 frames, boxes"):
        Sequence("s", frames, "d", np.zeros((2, 4)), Path("x"))
    with pytest.raises(ValueError, match="visibility"):
        Sequence("s", frames, "d", np.zeros((3, 4)), Path("x"), target_visible=np.ones(2, bool))
