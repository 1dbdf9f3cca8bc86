"""Checking a local copy: every fault is named with its sequence, what is only naming is repaired, nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import mini_datasets as mini
import pytest

from ltr.dataset import check
from ltr.dataset.check import CheckOptions, SequenceReport, check_evaluation
from ltr.dataset.filenames import apply_renames, number_text
from ltr.errors import EXIT_FAILED_SEQUENCES, EXIT_USER_ERROR, UserError, exit_status
from pytracking import run_check
from pytracking.__main__ import main as package_main
from pytracking.evaluation.datasets import LISTERS, get_dataset


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mini.shorten(monkeypatch)
    monkeypatch.setattr(check, "COUNTS", {"trackingnet": 3, "lasot_extension_subset": 4})
    return tmp_path / "copy"


@pytest.fixture
def otb(root: Path) -> Path:
    mini.write_otb(root)
    return root


def reports(dataset: str, root: Path, options: CheckOptions) -> list[SequenceReport]:
    return list(check_evaluation(dataset, root, LISTERS[dataset], options).reports)


def findings(dataset: str, root: Path, repair: bool = False, decode: bool = False) -> dict[str, list[str]]:
    """Kinds and texts of what is wrong, by sequence."""
    return {
        report.name: [f"{finding.kind}: {finding.text}" for finding in report.findings if not finding.harmless]
        for report in reports(dataset, root, CheckOptions((), repair, decode))
        if not report.whole
    }


def contents(root: Path) -> list[tuple[int, bytes]]:
    """What the files hold, whatever their names: a repair must not change it."""
    return sorted((path.stat().st_ino, path.read_bytes()) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("dataset", sorted(mini.WRITERS))
def test_a_whole_copy_passes(dataset: str, root: Path) -> None:
    mini.WRITERS[dataset](root)
    assert findings(dataset, root, decode=True) == {}
    assert len(reports(dataset, root, CheckOptions(decode=False))) == len(LISTERS[dataset](root))


def test_the_demo_clips_pass(capsys: pytest.CaptureFixture) -> None:
    assert package_main(["check", "demo"]) == 0
    assert capsys.readouterr().out == "demo: 5 of 5 sequences are whole\n"


def drop_middle(folder: Path) -> None:
    (folder / "img" / "0002.jpg").unlink()


def drop_last(folder: Path) -> None:
    (folder / "img" / "0004.jpg").unlink()


def truncate(folder: Path) -> None:
    file = folder / "img" / "0003.jpg"
    file.write_bytes(file.read_bytes()[:-40])


def empty_frame(folder: Path) -> None:
    (folder / "img" / "0003.jpg").write_bytes(b"")


def rewrite(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "groundtruth_rect.txt").write_text(text) and None


def drop_annotation(folder: Path) -> None:
    (folder / "groundtruth_rect.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_middle, "missing: .*img: frame 2 is missing$"),
        (drop_last, "short: .*img: frame 4 is missing, the last of the sequence"),
        (truncate, r"unreadable: .*0003\.jpg is cut short"),
        (empty_frame, r"unreadable: .*0003\.jpg: cannot be decoded"),
        (drop_annotation, r"missing: .*groundtruth_rect\.txt: no such annotation"),
        (rewrite("3|4|10|8\n" * 4), "unreadable: .*line 1: expected 4 numbers, found 1"),
        (rewrite("3,4,10,8\n" * 2 + "NaN,4,10,8\n" + "3,4,10,8\n"), r"wrong box: .*not numbers \(NaN\) in line 3"),
        (rewrite("3,4,0,8\n" * 4), r"wrong box: .*the first box is \[3.0, 4.0, 0.0, 8.0\]"),
        (rewrite("3,4,10,8\n" * 3), r"off by one: .*3 boxes for 4 frames \(1 to 4\)"),
        (rewrite("3,4,10,8\n" * 2), "short: .*2 boxes for 4 frames"),
        (rewrite("3,4,10,8\n" * 9), "long: .*9 boxes for 4 frames"),
    ],
)
def test_a_fault_is_named(damage: Callable[[Path], None], message: str, otb: Path) -> None:
    damage(otb / "Boy")
    before = contents(otb)
    found = findings("otb", otb, repair=True, decode=True)
    assert list(found) == ["Boy"]
    assert re.search(message, found["Boy"][0])
    assert contents(otb) == before


def test_quick_leaves_the_frames_closed(otb: Path) -> None:
    truncate(otb / "Boy")
    assert findings("otb", otb) == {}


def test_line_ends_and_mixed_delimiters_are_only_mentioned(otb: Path) -> None:
    annotation = otb / "Boy" / "groundtruth_rect.txt"
    annotation.write_bytes(b"3,4,10,8\r\n3\t4\t10\t8\r\n3 4 10 8\r\n3 4 10 8\r\n")
    (report,) = reports("otb", otb, CheckOptions(("Boy",)))
    assert report.whole
    assert [finding.text.partition(": ")[2] for finding in report.findings] == [
        "line ends of Windows (CRLF)",
        "mixed delimiters (commas; spaces; tabs)",
    ]
    assert len(get_dataset("otb", path=otb, sequences=["Boy"])[0].frames) == mini.FRAMES


def rename_frames(folder: Path, name: Callable[[int], str]) -> None:
    files = sorted((folder / "img").iterdir())
    for file in files:
        file.rename(file.with_name(f"moving{file.name}"))
    for file in files:
        file.with_name(f"moving{file.name}").rename(file.with_name(name(int(file.stem))))


def from_zero(folder: Path) -> None:
    rename_frames(folder, lambda number: f"{number - 1:04d}.jpg")


def from_two(folder: Path) -> None:
    rename_frames(folder, lambda number: f"{number + 1:04d}.jpg")


def unpadded_from_zero(folder: Path) -> None:
    rename_frames(folder, lambda number: f"{number - 1}.jpg")


def prefixed(folder: Path) -> None:
    rename_frames(folder, lambda number: f"img{number:05d}.JPG")


def other_case(folder: Path) -> None:
    (folder / "img").rename(folder / "IMG")
    (folder / "groundtruth_rect.txt").rename(folder / "GroundTruth-Rect.txt")
    folder.rename(folder.with_name(folder.name.lower()))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (from_zero, "off by one"),
        (from_two, "off by one"),
        (unpadded_from_zero, "misnamed"),
        (prefixed, "misnamed"),
        (other_case, "misnamed"),
    ],
)
def test_names_are_repaired(damage: Callable[[Path], None], kind: str, otb: Path) -> None:
    data = mini.jpeg()
    for number in range(1, 5):
        (otb / "Boy" / "img" / f"{number:04d}.jpg").write_bytes(data + bytes([number]))
    damage(otb / "Boy")
    before = contents(otb)
    found = findings("otb", otb)
    assert list(found) == ["Boy"]
    assert found["Boy"][0].startswith(kind)
    assert contents(otb) == before
    assert findings("otb", otb, repair=True) == {}
    assert contents(otb) == before
    frames = get_dataset("otb", path=otb, sequences=["Boy"])[0].frames
    assert [frame.read_bytes()[-1] for frame in frames] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["David", "BlurCar1", "BlurCar3", "BlurCar4", "Board"])
def test_otbs_odd_first_frames_are_explained_and_restored(name: str, otb: Path) -> None:
    first = min(int(file.stem) for file in (otb / name / "img").iterdir())
    rename_frames(otb / name, lambda number: f"{number - first + 1:04d}.jpg")
    (message,) = findings("otb", otb)[name]
    assert message.endswith("]"), "the official range is told"
    assert findings("otb", otb, repair=True) == {}


def test_otbs_second_targets(otb: Path) -> None:
    jogging = otb / "Jogging"
    (jogging / "groundtruth_rect.1.txt").rename(jogging / "groundtruth_rect_1.txt")
    (otb / "Human4" / "groundtruth_rect.2.txt").rename(otb / "Human4" / "groundtruth_rect.txt")
    (otb / "Skating2").rename(otb / "Skating2-1")
    found = findings("otb", otb)
    assert set(found) == {"Jogging_1", "Human4_2", "Skating2_1", "Skating2_2"}
    assert "second target is evaluated" in found["Human4_2"][0]
    assert found["Skating2_1"][0].startswith(f"missing: {otb / 'Skating2'}: no such folder; there is Skating2-1")
    assert [len(messages) for messages in found.values()] == [1, 1, 1, 1]
    assert set(findings("otb", otb, repair=True)) == {"Human4_2", "Skating2_1", "Skating2_2"}
    assert (otb / "Human4" / "groundtruth_rect.txt").is_file(), (
        "the first target's boxes are not taken for the second's"
    )


def test_an_annotation_from_frame_one_on_is_recognised(otb: Path) -> None:
    mini.write_boxes(otb / "David" / "groundtruth_rect.txt", 303)
    (message,) = findings("otb", otb)["David"]
    assert "303 boxes for 4 frames (300 to 303); it seems to start at frame 1 rather than 300" in message


def test_shared_videos_and_surplus_frames_are_no_fault(root: Path) -> None:
    mini.write_uav(root)
    mini.write_frames(root / "data_seq" / "UAV123" / "bird1", ["000500.jpg", "009999.jpg"], mini.jpeg())
    assert findings("uav", root) == {}


def test_what_could_be_lost_is_not_renamed(otb: Path) -> None:
    folder = otb / "Boy" / "img"
    (folder / "0002.jpg").rename(folder / "mask_0002.jpg")
    (folder / "0003.jpg").rename(folder / "3.jpg")
    mini.write_frames(folder, ["003.jpg"], mini.jpeg())
    before = contents(otb)
    (message,) = findings("otb", otb, repair=True)["Boy"]
    assert "frames 2-3 are missing" in message
    assert contents(otb) == before
    with pytest.raises(UserError, match=r"0004\.jpg: exists"):
        apply_renames([(folder / "0001.jpg", folder / "0004.jpg")])
    with pytest.raises(UserError, match="has gone"):
        apply_renames([(folder / "0009.jpg", folder / "0010.jpg")])


def test_half_a_renumbering_is_undone(otb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_zero(otb / "Boy")
    folder = otb / "Boy" / "img"
    before = {file.name: file.stat().st_ino for file in folder.iterdir()}
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "0001.jpg" and Path(target).name == "0002.jpg":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        findings("otb", otb, repair=True)
    assert {file.name: file.stat().st_ino for file in folder.iterdir()} == before


def test_names_of_other_sequences_are_not_taken(root: Path) -> None:
    mini.write_trackingnet(root)
    anno = root / "TEST" / "anno"
    (anno / "ZZZ_1.txt").write_bytes((anno / "zzz_1.txt").read_bytes())
    (anno / "zzz_1.txt").unlink()
    found = findings("trackingnet", root, repair=True)
    assert set(found) == {"", "ZZZ_1", "zzz_1"}
    assert "4 sequences are there, of 3" in found[""][0]
    assert (anno / "ZZZ_1.txt").is_file()


def test_trackingnets_missing_first_frame_may_be_either(root: Path) -> None:
    mini.write_trackingnet(root)
    (root / "TEST" / "frames" / "zzz_1" / "0.jpg").unlink()
    (message,) = findings("trackingnet", root, repair=True)["zzz_1"]
    assert "either it is lost, or all are numbered one too high" in message


def test_lasots_lengths_and_flags(root: Path) -> None:
    mini.write_lasot(root)
    first, second, third, fourth = sorted(root.glob("*/*"))[:4]
    (first / "img" / "00000004.jpg").unlink()
    mini.write_frames(second / "img", ["00000005.jpg"], mini.jpeg())
    (third / "full_occlusion.txt").rename(third / "Full_Occlusion.txt")
    (fourth / "out_of_view.txt").write_text("0,0")
    found = findings("lasot", root)
    assert found[first.name][0].startswith("off by one")
    assert "frame 4 is missing, the last of the sequence" in found[first.name][0]
    assert re.search("off by one: .*4 boxes for 5 frames", found[second.name][0])
    assert found[third.name][0].startswith("misnamed")
    assert "2 flags for 4 boxes" in found[fourth.name][0]
    assert set(findings("lasot", root, repair=True)) == {first.name, second.name, fourth.name}


def test_the_command_line(otb: Path, capsys: pytest.CaptureFixture) -> None:
    from_zero(otb / "Boy")
    drop_middle(otb / "Car1")
    argv = ["otb", "--dataset_path", str(otb)]
    assert run_check.main(argv) == EXIT_FAILED_SEQUENCES
    out = capsys.readouterr().out
    assert "otb/Boy: off by one: " in out
    assert "otb: 98 of 100 sequences are whole; 1 off by one, 1 missing; --repair renames what is misnamed" in out
    assert run_check.main([*argv, "--repair", "--sequence", "Boy"]) == 0
    out = capsys.readouterr().out
    assert f"otb/Boy: renamed {otb / 'Boy' / 'img' / '0003.jpg'} to {otb / 'Boy' / 'img' / '0004.jpg'}" in out
    assert out.endswith("otb: 1 of 1 sequences are whole\n")
    assert exit_status(lambda: run_check.main([*argv, "--sequence", "Boi"])) == EXIT_USER_ERROR
    assert "did you mean 'Boy'" in capsys.readouterr().err
    assert exit_status(lambda: run_check.main(["otbb"])) == EXIT_USER_ERROR
    assert "did you mean 'otb'" in capsys.readouterr().err


def test_folders_and_masks_are_checked_by_reading(root: Path) -> None:
    mini.write_davis(root)
    (root / "JPEGImages" / "480p" / "one" / "00001.jpg").write_bytes(b"no image")
    assert "cannot be decoded" in findings("davis", root, decode=True)["one"][0]
    folder = root.with_name("folder")
    mini.write_frames(folder / "a" / "img", ["1.jpg", "2.jpg"], mini.jpeg())
    mini.write_boxes(folder / "a" / "groundtruth_rect.txt", 3)
    assert "3 boxes for 2 frames" in findings("folder", folder)["a"][0]


def test_numbers_are_told_as_ranges() -> None:
    assert number_text([1, 4, 5, 6]) == "1, 4-6"
    assert number_text(list(range(0, 20, 2))) == "0, 2, 4, 6, 8, 10 and 4 more such"
