"""Miniature copies of the official layouts, read whole; and the faults that a copy may have."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import mini_datasets as mini
import numpy as np
import pytest

from ltr.data.image import read_image
from ltr.data.video import video_frames
from ltr.dataset import davis, lasot, layout, listed
from ltr.errors import UserError
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import LISTERS, get_dataset
from pytracking.evaluation.running import run_sequence
from pytracking.tracker.static import StaticTracker
from pytracking.video import video_writer

CASES = Path(__file__).parents[2] / "data" / "cases"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mini.shorten(monkeypatch)
    return tmp_path / "copy"


def by_name(dataset: str, root: Path) -> dict[str, Sequence]:
    mini.WRITERS[dataset](root)
    return {sequence.name: sequence for sequence in get_dataset(dataset, path=root)}


@pytest.mark.parametrize("dataset", sorted(mini.WRITERS))
def test_every_layout_is_read_and_tracked(dataset: str, root: Path) -> None:
    sequences = by_name(dataset, root)
    for sequence in sequences.values():
        assert sequence.dataset == dataset
        assert all(frame.is_file() for frame in sequence.frames)
        assert sequence.has_ground_truth == (dataset not in ("trackingnet", "got10k_test"))
    last = list(sequences.values())[-1]
    assert run_sequence(StaticTracker(), last).boxes.shape == (len(last.frames), 4)


def test_every_reader_has_a_miniature() -> None:
    assert set(LISTERS) == {*mini.WRITERS, "demo", "folder"}


def test_otb_starts_and_attributes(root: Path) -> None:
    sequences = by_name("otb", root)
    assert len(sequences) == 100
    starts = {name: sequences[name].frames[0].name for name in ("David", "BlurCar1", "BlurCar3", "BlurCar4", "Board")}
    assert starts == {
        "David": "0300.jpg",
        "BlurCar1": "0247.jpg",
        "BlurCar3": "0003.jpg",
        "BlurCar4": "0018.jpg",
        "Board": "00001.jpg",
    }
    assert sequences["Jogging_1"].frames == sequences["Jogging_2"].frames
    assert sequences["Skating2_2"].annotation_path.name == "groundtruth_rect.2.txt"
    assert sequences["Human4_2"].annotation_path.name == "groundtruth_rect.2.txt"
    assert sequences["Tiger1"].ground_truth_rect[0].tolist() == [8, 4, 10, 8]
    assert sequences["Jogging_2"].attributes == ("OCC", "DEF", "OPR")
    assert all(sequence.attributes for sequence in sequences.values())


def test_the_official_ranges(tmp_path: Path) -> None:
    def lengths(files: list[layout.SequenceFiles]) -> dict[str, tuple[int, int | None]]:
        return {entry.name: (entry.first, entry.last) for entry in files}

    otb = lengths(listed.list_sequences("otb", tmp_path))
    wanted = {"David": (300, 770), "Football1": (1, 74), "Freeman3": (1, 460), "Freeman4": (1, 283), "Diving": (1, 215)}
    assert {name: otb[name] for name in wanted} == wanted
    assert len(listed.list_sequences("nfs", tmp_path)) == 100
    uav = lengths(listed.list_sequences("uav", tmp_path))
    assert len(uav) == 123
    assert uav["uav_bird1_2"] == (775, 1477)
    test = lasot.list_sequences(tmp_path, "test")
    assert len(test) == 280
    assert all(files.attributes is not None for files in test)


def test_nfs_and_uav(root: Path) -> None:
    sequences = by_name("nfs", root)
    assert sequences["nfs_Skydiving"].frames[0] == root / "sequences" / "Skydiving" / "00001.jpg"
    assert (sequences["nfs_Skydiving"].attributes, sequences["nfs_Gymnastics"].attributes) == (("OCC",), ())
    bike = by_name("uav", root.with_name("uav"))["uav_bike1"]
    assert np.isnan(bike.ground_truth_rect[1]).all()
    assert bike.attributes is not None
    assert "SV" in bike.attributes


def test_lasot_is_visible_where_neither_file_says_otherwise(root: Path) -> None:
    sequence = next(iter(by_name("lasot", root).values()))
    assert sequence.target_visible is not None
    assert sequence.target_visible.tolist() == [True, False, False, True]
    assert sequence.object_class == "airplane"
    assert sequence.attributes
    (root / "airplane" / "airplane-1").rename(root / "airplane-1")
    (flat,) = get_dataset("lasot", path=root, sequences=["airplane-1"])
    assert flat.frames[0] == root / "airplane-1" / "img" / "00000001.jpg"
    flags = root / "airplane-1" / "out_of_view.txt"
    for content, message in [("0,0,1", "3 flags for 4 boxes"), ("0,0,x,0", "'x' is not a whole number")]:
        flags.write_text(content)
        with pytest.raises(UserError, match=message):
            get_dataset("lasot", path=root, sequences=["airplane-1"])
    flags.unlink()
    with pytest.raises(UserError, match=r"out_of_view\.txt: no such file"):
        get_dataset("lasot", path=root, sequences=["airplane-1"])


def test_the_extension_subset_counts_rather_than_spells(root: Path) -> None:
    assert list(by_name("lasot_extension_subset", root)) == ["atv-1", "atv-2", "atv-10", "skatingshoe-1"]


def test_trackingnet_counts_from_zero_without_padding(root: Path) -> None:
    sequence = by_name("trackingnet", root)["zzz_1"]
    assert [frame.name for frame in sequence.frames] == [f"{number}.jpg" for number in range(12)]
    assert sequence.ground_truth_rect.tolist() == [list(mini.BOX)]


def test_got10k(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = by_name("got10k_val", root)["GOT-10k_Val_000002"]
    assert sequence.target_visible is not None
    assert sequence.target_visible.tolist() == [True, False, False, True]
    for given in (root, root / "test", root / "val"):
        monkeypatch.setenv("EBM_TRACKING_GOT10K", str(given))
        assert len(get_dataset("got10k_test")) == 3
        assert len(get_dataset("got10k_val")) == 3
    with pytest.raises(UserError, match="no folder 'test' of GOT-10k"):
        get_dataset("got10k_test", path=root.parent)


def test_vot_polygons_and_boxes(root: Path) -> None:
    sequences = by_name("vot", root)
    assert list(sequences) == ["book", "ants"]
    book, ants = sequences.values()
    assert book.ground_truth_rect[0].tolist() == [2, 2, 6, 6]
    assert book.polygons is not None
    assert book.polygons[0].tolist() == [[4, 2], [8, 4], [6, 8], [2, 6]]
    assert ants.polygons is None
    assert ants.frames[0].parent.name == "color"
    annotation = root / "ants" / "groundtruth.txt"
    for content, message in [("m0,0,3,4,5", "line 1: a mask"), ("1,2,3", "expected 4 or 8 numbers, found 3")]:
        annotation.write_text(content)
        with pytest.raises(UserError, match=message):
            get_dataset("vot", path=root)
    (root / "list.txt").write_text("ants\nants\n")
    with pytest.raises(UserError, match="named twice"):
        get_dataset("vot", path=root)
    (root / "list.txt").unlink()
    with pytest.raises(UserError, match=r"list\.txt: no such file"):
        get_dataset("vot", path=root)


def test_a_lone_zero_of_vot_is_an_absent_target() -> None:
    (sequence,) = get_dataset("vot", path=CASES / "vot-absent")
    assert np.flatnonzero(np.isnan(sequence.ground_truth_rect).all(axis=1)).tolist() == [3, 4]
    assert sequence.target_visible is not None
    assert np.flatnonzero(~sequence.target_visible).tolist() == [3, 4]
    assert sequence.polygons is None


@pytest.mark.parametrize("name", ["../book", "/book", "a/../../book", "..", "a\\b", "a\x0bb", "x" * 250])
def test_vots_list_leads_to_no_other_folder(name: str, root: Path) -> None:
    mini.write_vot(root)
    (root / "list.txt").write_text(f"ants\n{name}\n")
    with pytest.raises(UserError, match=r"list\.txt, line 2: "):
        get_dataset("vot", path=root, sequences=["ants"])


def test_boxes_from_masks(root: Path) -> None:
    sequences = by_name("davis", root)
    assert list(sequences) == ["one", "two_1", "two_3"]
    one, first, third = sequences.values()
    assert one.ground_truth_rect[1].tolist() == [4, 4, 10, 8]
    assert np.isnan(one.ground_truth_rect[2]).all()
    assert one.target_visible is not None
    assert one.target_visible.tolist() == [True, True, False, True]
    assert first.ground_truth_rect[3].tolist() == [6, 4, 10, 8]
    assert third.ground_truth_rect[0].tolist() == [1, 15, 4, 3]
    (root / "Annotations" / "480p" / "two" / "00002.png").unlink()
    with pytest.raises(UserError, match="3 masks are not those of the 4 frames"):
        get_dataset("davis", path=root)
    (root / "Annotations" / "480p" / "two" / "00000.png").write_bytes(b"no mask")
    with pytest.raises(UserError, match="cannot be decoded as a mask"):
        get_dataset("davis", path=root)


def test_a_palette_of_all_numbers_is_told_apart(tmp_path: Path) -> None:
    pil_image = pytest.importorskip("PIL.Image")
    numbers = np.arange(256, dtype=np.uint8).reshape(16, 16)
    palette = []
    for number in range(256):
        colour = [0, 0, 0]
        for bit in range(8):
            colour[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
        palette += colour
    image = pil_image.fromarray(numbers, "P")
    image.putpalette(palette)
    image.save(tmp_path / "mask.png")
    assert cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED).ndim == 3
    assert np.array_equal(davis.read_mask(tmp_path / "mask.png"), numbers)
    assert davis.mask_objects(np.array([[0, 1, 7, 255]])) == [1, 7]
    assert davis.mask_objects(np.array([[0, 255]])) == [255]


def write_video(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_writer(path, Fraction(10)) as add:
        for number in range(frames):
            add(np.full((32, 48, 3), 20 * number, np.uint8))


def test_video_files_with_boxes(tmp_path: Path) -> None:
    write_video(tmp_path / "group" / "clip.mp4", 6)
    mini.write_boxes(tmp_path / "group" / "clip.txt", 6)
    write_video(tmp_path / "own" / "any name.mkv", 6)
    mini.write_boxes(tmp_path / "own" / "groundtruth.txt", 1)
    mini.write_frames(tmp_path / "plain", ["1.jpg", "2.jpg"], mini.jpeg())
    mini.write_boxes(tmp_path / "plain" / "groundtruth.txt", 2)
    clip, own, plain = get_dataset("folder", path=tmp_path)
    assert (clip.name, own.name, plain.name) == ("group_clip", "own", "plain")
    assert (len(clip.frames), len(own.frames), len(plain.frames)) == (6, 6, 2)
    assert clip.image_size == (48, 32)
    for number in (0, 3, 4, 1, 5):
        assert abs(float(read_image(clip.frames[number]).mean()) - 20 * number) < 4
    assert run_sequence(StaticTracker(), own).boxes.shape == (6, 4)
    with pytest.raises(UserError, match="has 6 frames, no frame 7"):
        read_image(clip.frames[0].with_name("00000007"))
    write_video(tmp_path / "own" / "second.mp4", 2)
    with pytest.raises(UserError, match="belongs to which video"):
        get_dataset("folder", path=tmp_path)


def test_a_truncated_video_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 6)
    data = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "clip.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"clip\.mp4"):
        video_frames(tmp_path / "clip.mp4")


@pytest.mark.parametrize("dataset", ["otb", "lasot", "got10k_val", "vot"])
def test_a_missing_frame_is_noticed(dataset: str, root: Path) -> None:
    sequence = next(iter(by_name(dataset, root).values()))
    sequence.frames[2].unlink()
    with pytest.raises(UserError, match=r"cannot read the image|4 boxes for 3 frames"):
        run_sequence(StaticTracker(), get_dataset(dataset, path=root, sequences=["0"])[0])


@pytest.mark.parametrize("dataset", ["otb", "lasot", "got10k_val", "uav"])
def test_a_wrong_delimiter_is_refused_and_crlf_is_not(dataset: str, root: Path) -> None:
    annotation = next(iter(by_name(dataset, root).values())).annotation_path
    annotation.write_bytes("\r\n".join(["3 4\t10,8"] * mini.FRAMES).encode())
    sequence = get_dataset(dataset, path=root, sequences=["0"])[0]
    assert sequence.ground_truth_rect.tolist() == [[3, 4, 10, 8]] * mini.FRAMES
    annotation.write_text("3|4|10|8\n" * mini.FRAMES)
    with pytest.raises(UserError, match="line 1: expected 4 numbers, found 1"):
        get_dataset(dataset, path=root, sequences=["0"])
