"""`python -m ltr check`: every kind of fault in a copy of a training data set is told, and only faults are."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from mini_training_sets import FRAMES, make_coco, make_got10k, make_lasot, make_lite, make_trackingnet
from tiny_data import write_image, write_lines, write_sequence

from ltr.__main__ import main
from ltr.dataset import got10k, lasot
from ltr.dataset.check import SPLITS, CheckOptions, check_training
from ltr.errors import exit_status
from ltr.train_settings.sources import SOURCES

LASOT = lasot.sequence_names("train")[:4]
GOT10K = got10k.sequence_names("vottrain")[:4]


def told(name, root, splits=("all",), decode=True):
    """(sequence, kind) of all that is wrong, and the texts."""
    reports = list(check_training(name, root, splits, CheckOptions(decode=decode)).reports)
    assert reports
    found = [(report.name, finding) for report in reports for finding in report.findings if not finding.harmless]
    return [(sequence, finding.kind) for sequence, finding in found], " | ".join(finding.text for _, finding in found)


@pytest.fixture
def copy(tmp_path):
    root = make_lasot(tmp_path, links=False)
    return root, root / LASOT[1].rpartition("-")[0] / LASOT[1]


def test_every_source_can_be_checked():
    assert set(SPLITS) == set(SOURCES) - {"composited"}, "which is made from a COCO-format file"


@pytest.mark.parametrize("decode", [True, False])
def test_whole_copies_are_whole(tmp_path, decode):
    write_sequence(tmp_path / "folder" / "a", ["1,2,30,40", "nan,nan,nan,nan", "1,2,30,40"])
    for name, root, splits in (
        ("lasot", make_lasot(tmp_path / "lasot", links=False), ["all"]),
        ("trackingnet", make_trackingnet(tmp_path / "trackingnet"), []),
        ("got10k", make_got10k(tmp_path / "got10k", links=False), ["all"]),
        ("coco", make_coco(tmp_path / "coco"), []),
        ("coco_format", tmp_path / "coco", ["annotations/instances_train2017.json:images/train2017"]),
        ("folder", tmp_path / "folder", []),
        ("lite", make_lite(tmp_path / "lite"), []),
    ):
        assert told(name, root, splits, decode) == ([], ""), name


def cut_short(folder):
    path = folder / "img" / "00000004.jpg"
    path.write_bytes(path.read_bytes()[:-30])


def lose_a_frame(folder):
    (folder / "img" / "00000006.jpg").unlink()


def lose_the_end(folder):
    for number in (10, 11, 12):
        (folder / "img" / f"{number:08d}.jpg").unlink()


def pad_less(folder):
    (folder / "img" / "00000003.jpg").rename(folder / "img" / "0003.jpg")


def other_suffix(folder):
    for path in (folder / "img").iterdir():
        path.rename(path.with_suffix(".JPG"))


def add_a_frame(folder):
    write_image(folder / "img" / f"{FRAMES + 1:08d}.jpg", np.zeros((60, 80, 3), np.uint8))


def resize_a_frame(folder):
    write_image(folder / "img" / "00000005.jpg", np.zeros((40, 50, 3), np.uint8))


def lose_the_boxes(folder):
    (folder / "groundtruth.txt").unlink()


def misname_the_boxes(folder):
    (folder / "groundtruth.txt").rename(folder / "GroundTruth.txt")


def break_a_line(folder):
    change_line(folder, 2, "1,2,3")


def change_line(folder, number, line):
    lines = (folder / "groundtruth.txt").read_text().splitlines()
    lines[number] = line
    write_lines(folder / "groundtruth.txt", lines)


def not_a_number(folder):
    change_line(folder, 7, "nan,nan,nan,nan")


def hidden_not_a_number(folder):
    change_line(folder, 1, "nan,nan,nan,nan")


def outside(folder):
    change_line(folder, 7, "90,10,20,20")


def a_little_over(folder):
    change_line(folder, 7, "70,10,20,20")


def too_few_flags(folder):
    write_lines(folder / "out_of_view.txt", ["0,0,0"])


def strange_flag(folder):
    write_lines(folder / "out_of_view.txt", [",".join(["0"] * (FRAMES - 1) + ["7"])])


def no_flags(folder):
    (folder / "full_occlusion.txt").unlink()


def lose_the_frames(folder):
    for path in (folder / "img").iterdir():
        path.unlink()
    (folder / "img").rmdir()


OPENING = (cut_short, resize_a_frame, outside)


@pytest.mark.parametrize(
    ("harm", "kinds", "text"),
    [
        (cut_short, ["unreadable"], "00000004.jpg is cut short"),
        (lose_a_frame, ["missing"], "img: frame 6 is missing"),
        (lose_the_end, ["short"], "frames 10-12 are missing, the last of the sequence"),
        (pad_less, ["misnamed"], "0003.jpg should be 00000003.jpg"),
        (other_suffix, ["misnamed"], f"00000001.JPG should be 00000001.jpg, and {FRAMES - 1} more"),
        (add_a_frame, ["off by one"], f"{FRAMES} boxes for {FRAMES + 1} frames"),
        (resize_a_frame, ["wrong size"], "frames of 50 x 40, 80 x 60 pixels"),
        (lose_the_boxes, ["missing"], "groundtruth.txt: no such annotation"),
        (misname_the_boxes, ["misnamed"], "GroundTruth.txt should be groundtruth.txt"),
        (break_a_line, ["unreadable"], "groundtruth.txt, line 3: expected 4 numbers, found 3"),
        (not_a_number, ["wrong box"], "boxes are not numbers (NaN) in line 8"),
        (hidden_not_a_number, [], ""),
        (outside, ["out of image"], "boxes lie outside the image in line 8"),
        (a_little_over, [], ""),
        (too_few_flags, ["wrong count"], f"out_of_view.txt: 3 flags for {FRAMES} boxes"),
        (strange_flag, ["wrong flag"], f"out_of_view.txt: 7 for frame {FRAMES}; wanted 0 to 1"),
        (no_flags, ["missing"], "full_occlusion.txt: no such annotation"),
        (lose_the_frames, ["missing"], "img: no such folder of frames"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_fault_in_a_sequence_is_told_with_its_file(copy, harm, kinds, text):
    root, folder = copy
    harm(folder)
    found, texts = told("lasot", root)
    assert found == [(LASOT[1], kind) for kind in kinds] and text in texts
    quick, _ = told("lasot", root, decode=False)
    assert quick == ([] if harm in OPENING else found)


def test_a_missing_sequence_is_told_where_a_split_wants_it(copy):
    root, folder = copy
    folder.rename(folder.with_name("elsewhere-1"))
    listed = write_lines(root / "list.txt", LASOT)
    found, texts = told("lasot", root, [str(listed)])
    assert set(found) == {(LASOT[1], "missing")} and f"{LASOT[1]}: no such folder" in texts


def test_got10ks_labels(tmp_path):
    root = make_got10k(tmp_path, links=False)
    write_lines(root / "train" / GOT10K[0] / "cover.label", ["9"] + ["8"] * (FRAMES - 1))
    write_lines(root / "train" / GOT10K[2] / "absence.label", ["0"] * (FRAMES + 1))
    found, texts = told("got10k", root)
    assert sorted(found) == sorted([(GOT10K[0], "wrong flag"), (GOT10K[2], "wrong count")])
    assert "cover.label: 9 for frame 1; wanted 0 to 8" in texts


def test_trackingnets_sets_frames_and_annotations(tmp_path):
    root = make_trackingnet(tmp_path, sets=3)
    (root / "TRAIN_0" / "anno" / "vid00_0.txt").unlink()
    (root / "TRAIN_1" / "frames" / "vid10_0" / "0.jpg").unlink()
    found, _ = told("trackingnet", root, [])
    assert set(found) == {("vid00_0", "missing"), ("vid10_0", "missing"), ("TRAIN_3", "missing")}


def test_coco(tmp_path):
    root = make_coco(tmp_path)
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [200, 10, 20, 20]
    content["annotations"][4]["segmentation"] = {"size": [60, 80], "counts": [10, 20]}
    content["images"][2]["width"] = 81
    path.write_text(json.dumps(content))
    (root / "images" / "train2017" / f"{4:012d}.jpg").unlink()
    found, texts = told("coco", root, [])
    names = [f"{number:012d}.jpg" for number in range(1, 5)]
    # The run lengths of the third image still have the true size, so only what the file says of it is wrong.
    assert found == [
        (names[0], "out of image"),
        (names[1], "unreadable"),
        (names[2], "wrong size"),
        (names[3], "missing"),
    ]
    assert "run lengths of 30 pixels do not fill a mask of 80 x 60" in texts
    path.write_text("{")
    assert told("coco", root, [])[0] == [("", "unreadable")]
    assert told("coco", root, ["val2017"])[0] == [("", "missing")]


def test_folders_of_ones_own(tmp_path):
    write_sequence(tmp_path / "a", ["1,2,30,40"] * 3, frames=2)
    write_sequence(tmp_path / "b", ["1,2,30,40"] * 2, frames=3)
    write_sequence(tmp_path / "c", ["1,2,30,40"] * 2)
    (tmp_path / "c" / "groundtruth_rect.txt").rename(tmp_path / "c" / "groundtruth_Rect.txt")
    found, _ = told("folder", tmp_path, [])
    assert found == [("a", "off by one"), ("b", "off by one"), ("c", "misnamed")]


def test_a_folder_for_the_compact_recipes(tmp_path):
    root = make_lite(tmp_path)
    write_image(root / "rooms" / "images" / "1.jpg", np.zeros((40, 50, 3), np.uint8))
    write_image(root / "rooms" / "masks" / "1_0.png", np.zeros((40, 51), np.uint8))
    write_lines(root / "rooms" / "boxes.csv", ["image,x,y,w,h", "1.jpg,60,5,20,20"])
    (root / "things" / "rgba" / "03.png").write_bytes(b"nothing")
    write_sequence(root / "videos" / "a", ["1,2,30,40"] * 3, frames=2)
    found, _ = told("lite", root, [])
    wanted = [("rooms", "wrong size"), ("rooms", "out of image"), ("things", "unreadable"), ("videos/a", "off by one")]
    assert found == wanted


def test_the_command_line(copy, capsys):
    root, folder = copy
    assert main(["check", "lasot", "--path", str(root), "--split", "all"]) == 0
    assert capsys.readouterr().out == "lasot: 4 of 4 sequences are whole\n"
    a_little_over(folder)
    lose_a_frame(folder)
    assert main(["check", "lasot", "--path", str(root), "--split", "all", "--quick", "--notes"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"lasot/{LASOT[1]}: missing: ") and "frame 6 is missing" in out[0]
    assert out[-1] == "lasot: 3 of 4 sequences are whole; 1 missing (frames not opened)"
    main(["check", "lasot", "--path", str(root), "--split", "all", "--notes"])
    assert "note: " in (said := capsys.readouterr().out) and "1 boxes reach beyond the image" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "lasott"], "unknown data set 'lasott'; did you mean 'lasot'"),
        (["check", "lasot", "--path", "/nowhere"], "/nowhere is not a folder"),
        (["check", "got10k", "--path", "/tmp", "--split", "votvall"], "did you mean 'votval'"),
        (["check", "coco_format", "--path", "/tmp"], "--split annotations/train.json:images/train"),
        (["chek"], "unknown command 'chek'; did you mean 'check'"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, message, capsys):
    assert exit_status(lambda: main(arguments)) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_the_module_lists_its_commands(capsys):
    assert main(["--help"]) == 0 and "check" in capsys.readouterr().out
    assert main([]) == 2 and "train" in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        main(["train", "--help"])
    assert done.value.code == 0


def test_it_runs_as_a_module(tmp_path):
    root = make_trackingnet(tmp_path, sets=1)
    command = [sys.executable, "-m", "ltr", "check", "trackingnet", "--path", str(root), "--split", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "trackingnet: 2 of 2 sequences are whole\n")
