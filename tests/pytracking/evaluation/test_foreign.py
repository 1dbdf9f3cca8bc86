"""Importing raw results of other programs: layouts, names, marks, and damaged files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ltr.dataset.boxfile import read_boxes, read_rows
from ltr.errors import UserError
from pytracking import get_dataset, trackerlist
from pytracking.__main__ import main as command
from pytracking.analysis.extract import extract_scores
from pytracking.evaluation.foreign import is_foreign, match_name, official_names, read_foreign
from pytracking.evaluation.foreign_import import import_results, main
from pytracking.evaluation.results import why_redo

BOXES = np.array([[10.0, 20, 30, 40], [11.25, 21, 30, 40.5], [12.125, 22, 31, 41]])
DATA = Path(__file__).parents[2] / "data" / "foreign_results.npz"


def text(boxes: np.ndarray, separator: str = ",") -> str:
    return "".join(separator.join(map(str, box)) + "\n" for box in boxes)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def written(tmp_path: Path, source: Path, dataset: str | None = None, layout: str = "auto") -> dict[str, Path]:
    files, _, _ = import_results(source, "other", "published", tmp_path / "results", layout=layout, dataset=dataset)
    return {f"{file.parent.name}/{file.stem}": file for file in files}


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_pytracking_and_pysot(tmp_path: Path, source: Path, separator: str) -> None:
    (source / "Deer.txt").write_text(text(BOXES, separator))
    (source / "Deer_time.txt").write_text("0.5\n0.25\n0.25\n")
    (source / "jogging-1.txt").write_text(text(BOXES, separator))
    files = written(tmp_path, source, "otb")
    assert set(files) == {"published/Deer", "published/Jogging_1"}
    assert np.array_equal(read_boxes(files["published/Deer"]), BOXES)
    assert read_rows(files["published/Deer"].with_name("Deer_time.txt"), 1)[:, 0].tolist() == [0.5, 0.25, 0.25]
    assert not files["published/Jogging_1"].with_name("Jogging_1_time.txt").exists()


def test_times_in_a_folder_of_their_own(tmp_path: Path, source: Path) -> None:
    (source / "times").mkdir()
    (source / "Deer.txt").write_text(text(BOXES))
    (source / "times" / "Deer_time.txt").write_text("0.1\n0.1\n0.1\n")
    ((result,), _) = read_foreign(source)
    assert result.times is not None
    assert result.times.tolist() == [0.1] * 3


def test_got10k_repetitions_become_runs(tmp_path: Path, source: Path) -> None:
    name = "GOT-10k_Val_000007"
    (source / name).mkdir()
    for repetition in (1, 2, 3):
        (source / name / f"{name}_{repetition:03d}.txt").write_text(text(BOXES + repetition))
    (source / name / f"{name}_time.txt").write_text("0.1,0.2\n" * 3)
    files = written(tmp_path, source, "got10k_val")
    assert set(files) == {f"published_00{run}/{name}" for run in range(3)}
    assert np.array_equal(read_boxes(files[f"published_002/{name}"]), BOXES + 3)
    times = {key: file.with_name(f"{name}_time.txt") for key, file in files.items()}
    assert read_rows(times[f"published_001/{name}"], 1)[:, 0].tolist() == [0.2] * 3
    assert not times[f"published_002/{name}"].exists()
    assert written(tmp_path, source, "got10k_val", "pysot").keys() == files.keys()
    with pytest.raises(UserError, match="leave --run out"):
        import_results(source, "other", "published", tmp_path / "results", run_id=1)


def test_otb_json(tmp_path: Path, source: Path) -> None:
    with np.load(DATA) as data:
        boxes = data["otb_Deer_STRUCK"]
    evaluation = {"seqName": "Deer", "resType": "rect", "fps": 10.0, "res": boxes.tolist()}
    (source / "Deer.json").write_text(json.dumps([evaluation, {"resType": "rect", "res": []}]))
    files = written(tmp_path, source, "otb")
    assert np.array_equal(read_boxes(files["published/Deer"]), boxes)
    assert read_rows(files["published/Deer"].with_name("Deer_time.txt"), 1)[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("cell", [True, False])
def test_otb_mat(tmp_path: Path, source: Path, cell: bool) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    struct = {"type": "rect", "res": BOXES, "len": 3, "fps": 20.0}
    results = np.empty(2, object)
    results[:] = [struct, struct]
    savemat(source / "Deer_MDNet.mat", {"results": results if cell else struct})
    files = written(tmp_path, source, "otb")
    assert np.array_equal(read_boxes(files["published/Deer"]), BOXES)
    assert read_rows(files["published/Deer"].with_name("Deer_time.txt"), 1)[0, 0] == pytest.approx(0.05)
    savemat(source / "Deer_MDNet.mat", {"other": 1})
    with pytest.raises(UserError, match="no 'results' with boxes"):
        read_foreign(source)
    (source / "Deer_MDNet.mat").write_bytes(b"no matrix" * 40)
    with pytest.raises(UserError, match="not a MATLAB file"):
        read_foreign(source)


def test_odd_mat_files(source: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    file = source / "Deer_MDNet.mat"
    struct = {"resType": "rect", "res": BOXES}
    for results, message in [
        ({**struct, "resType": 3.0}, "results of type 'float'"),
        ({**struct, "seqName": 7.0}, "the name of a sequence is a float"),
        ({**struct, "res": {"deep": {"deep": BOXES}}}, "its 'res' is not a list of boxes"),
        (BOXES, "no 'results' with boxes"),
    ]:
        savemat(file, {"results": results})
        with pytest.raises(UserError, match=message):
            read_foreign(source)
    savemat(file, {"results": {**struct, "seqName": ""}})
    assert read_foreign(source)[0][0].sequence == "Deer_MDNet"
    for content in (b"", b"MATLAB 5.0" + bytes(200)):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"Deer_MDNet\.mat: not a MATLAB file that can be read"):
            read_foreign(source)


def test_a_mat_file_on_which_the_library_crashes_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy.io")
    (source / "Deer_MDNet.mat").write_bytes(b"")
    (source / "Dog.mat").write_bytes(b"")
    (source / "Car.json").write_text(json.dumps([{"res": BOXES.tolist()}]))
    monkeypatch.setattr(sys, "executable", "false")
    results, damaged = read_foreign(source)
    assert [result.sequence for result in results] == ["Car"]
    crashed = "not a MATLAB file that can be read (its reader crashed)"
    assert list(damaged.values()) == [f"{source / name}: {crashed}" for name in ("Deer_MDNet.mat", "Dog.mat")]


def test_mat_files_without_scipy(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "Deer.mat").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match="pip install scipy"):
        read_foreign(source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", "not JSON"),
        ("[1]", "list of evaluations"),
        ('[{"resType": "ivtAff", "res": [[1, 2, 3, 4, 5, 6]]}]', "type 'ivtAff'; only upright boxes"),
        ('[{"res": [[1, 2, 3]]}]', "'res' is not a list of boxes"),
        ('[{"res": "x"}]', "'res' is not a list of boxes"),
        ("[{}]", "'res' is not a list of boxes"),
    ],
)
def test_damaged_json(source: Path, content: str, message: str) -> None:
    (source / "Deer.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_foreign(source)


def test_damaged_sources(tmp_path: Path, source: Path) -> None:
    with pytest.raises(UserError, match="no results in it; expected pytracking: "):
        read_foreign(source)
    with pytest.raises(UserError, match="no results in it; expected <sequence>/<sequence>_001"):
        read_foreign(source, "got10k")
    with pytest.raises(UserError, match="no such folder"):
        read_foreign(tmp_path / "none")
    with pytest.raises(UserError, match="unknown layout 'pysoot'; did you mean 'pysot'"):
        read_foreign(source, "pysoot")
    (source / "Deer.txt").write_text("1,2,3,4\n1,2,3\n")
    with pytest.raises(UserError, match=r"Deer\.txt, line 2: expected 4 numbers, found 3"):
        read_foreign(source)
    (source / "Deer.txt").unlink()
    (source / "book").mkdir()
    (source / "book" / "book_001.txt").write_text("1\n1,2,3,4\n")
    with pytest.raises(UserError, match=r"python -m pytracking\.analysis\.vot"):
        read_foreign(source)


@pytest.mark.parametrize(
    ("dataset", "name", "expected"),
    [
        ("otb", "BasketBall", "Basketball"),
        ("otb", "Jogging.2", "Jogging_2"),
        ("otb", "Human4-2", "Human4_2"),
        ("otb", "Skating2-1_MDNet", "Skating2_1"),
        ("lasot", "airplane-1", "airplane-1"),
        ("got10k_test", "GOT-10k_Test_000180", "GOT-10k_Test_000180"),
        ("otb", "Nosuch", None),
    ],
)
def test_names(dataset: str, name: str, expected: str | None) -> None:
    official = official_names(dataset)
    assert official is not None
    assert match_name(name, official) == expected
    assert all(match_name(entry, official) == entry for entry in official)


def test_prefixes_of_toolkits() -> None:
    for dataset, count in (("nfs", 100), ("uav", 123)):
        official = official_names(dataset)
        assert official is not None
        assert len(official) == count
        assert all(
            match_name(f"{dataset}_{entry.removeprefix(f'{dataset}_')}", official) == entry for entry in official
        )
    assert official_names("folder") is None


def test_imported_results_are_marked_and_never_ours(tmp_path: Path, sequence_root: Path, source: Path) -> None:
    (near,) = get_dataset("folder", path=sequence_root, sequences=["near"])
    (source / "near.txt").write_text(text(near.ground_truth_rect))
    folder = written(tmp_path, source)["published/near"].parent
    assert is_foreign(folder, "near")
    assert not is_foreign(folder, "far")
    description = {"format": 1, "sequence": "near"}
    assert why_redo(folder, description) == "its format differ: was 'foreign', is 1"
    scores = extract_scores(trackerlist("other", "published"), [near], tmp_path / "results")
    assert scores.notes == ["boxes of another program, imported: other/published"]
    manifest = json.loads((folder / "near.json").read_text())
    assert (manifest["source"], manifest["num_frames"]) == ("source/near.txt", len(near.frames))
    (folder / "near.txt").write_text(text(BOXES))
    with pytest.raises(UserError, match="changed or half written"):
        extract_scores(trackerlist("other", "published"), [near], tmp_path / "results")
    written(tmp_path, source)
    (folder / "near.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="a result that was not imported"):
        written(tmp_path, source)
    (folder / "near.json").write_text("x")
    assert not is_foreign(folder, "near")


def test_two_files_for_one_sequence(tmp_path: Path, source: Path) -> None:
    for name in ("Jogging-1", "Jogging_1"):
        (source / f"{name}.txt").write_text(text(BOXES))
    with pytest.raises(UserError, match="are both results on 'Jogging_1'"):
        written(tmp_path, source, "otb")


def test_command_line(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture) -> None:
    (source / "Deer.txt").write_text(text(BOXES))
    (source / "Mine.txt").write_text(text(BOXES))
    results = str(tmp_path / "results")
    assert (
        command(["import-results", str(source), "a/b", "--dataset_name", "otb", "--run", "4", "--results", results])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"1 results imported to {Path(results) / 'a' / 'b_004'}"
    assert lines[1].startswith("no result on 99 of 100 sequences: Basketball, Biker")
    assert lines[2] == "1 not of otb, left out: Mine"
    assert main([str(source), "a/b", "--results", results]) == 0
    assert capsys.readouterr().out.startswith("2 results imported")
    with pytest.raises(UserError, match="'a' is not TRACKER/PARAMETERS"):
        main([str(source), "a"])
    (source / "Deer.txt").unlink()
    with pytest.raises(UserError, match="none of its 1 results is on a sequence of 'otb': Mine"):
        main([str(source), "a/b", "--dataset_name", "otb", "--results", results])


@pytest.mark.parametrize("name", ["/tmp/settings", "../../settings", "..", "a\nb", "a/b", "x" * 300, 7])
@pytest.mark.parametrize("suffix", ["json", "mat"])
def test_a_name_in_a_file_cannot_lead_elsewhere(tmp_path: Path, source: Path, name: object, suffix: str) -> None:
    kept = tmp_path / "settings.json"
    kept.write_text("{}")
    evaluation = {"seqName": name, "resType": "rect", "res": BOXES.tolist()}
    if suffix == "json":
        (source / "r.json").write_text(json.dumps([evaluation]))
    else:
        pytest.importorskip("scipy.io").savemat(source / "r.mat", {"results": evaluation})
    with pytest.raises(UserError, match=rf"r\.{suffix}: .*(name|sequence)"):
        written(tmp_path, source)
    assert kept.read_text() == "{}"
    assert not (tmp_path / "results").exists()


def test_times_of_one_result_do_not_overwrite_the_boxes_of_another(tmp_path: Path, source: Path) -> None:
    for name in ("ball", "ball_time"):
        evaluation = {"seqName": name, "resType": "rect", "fps": 10.0, "res": BOXES.tolist()}
        (source / f"{name}1.json").write_text(json.dumps(evaluation))
    with pytest.raises(UserError, match="times of 'ball' and the boxes of 'ball_time' share a file"):
        written(tmp_path, source)


@pytest.mark.parametrize("value", ["1" * 400, "1" + "0" * 5000, "-1", "0.00000000001"])
def test_odd_numbers_in_a_file(tmp_path: Path, source: Path, value: str) -> None:
    (source / "r.json").write_text(f'{{"seqName": "a", "fps": {value}, "res": [[1, 2, 3, 4]]}}')
    if len(value) < 1000:
        (file,) = written(tmp_path, source).values()
        assert not file.with_name("a_time.txt").exists(), "no time is made of such a rate"
    for size in (value + "e400", "1" * 400):
        (source / "r.json").write_text(f'{{"seqName": "a", "res": [[1, 2, 3, {size}]]}}')
        with pytest.raises(UserError, match=r"r\.json"):
            written(tmp_path, source)


@pytest.mark.parametrize("value", ["true", "NaN", '"3"', "null", "[3]", "Infinity"])
def test_what_is_no_number_in_json_is_no_side_of_a_box(tmp_path: Path, source: Path, value: str) -> None:
    (source / "r.json").write_text(f'{{"seqName": "a", "res": [[1, 2, {value}, 4]]}}')
    with pytest.raises(UserError, match=r"r\.json: its 'res' is not a list of boxes"):
        written(tmp_path, source)


def test_nan_in_matlab_s_boxes_is_kept_and_text_is_not(tmp_path: Path, source: Path) -> None:
    io = pytest.importorskip("scipy.io")
    lost = np.array([[1.0, 2, 3, 4], [np.nan] * 4])
    io.savemat(source / "r.mat", {"results": {"seqName": "a", "resType": "rect", "res": lost}})
    (file,) = written(tmp_path, source).values()
    assert np.array_equal(read_boxes(file), lost, equal_nan=True)
    for boxes in (np.array(["abcd"]), lost * 1j):
        io.savemat(source / "r.mat", {"results": {"seqName": "a", "resType": "rect", "res": boxes}})
        with pytest.raises(UserError, match=r"r\.mat: its 'res' is not a list of boxes"):
            written(tmp_path, source)


def test_times_that_are_none_are_refused(tmp_path: Path, source: Path) -> None:
    (source / "GOT-10k_Val_000001").mkdir()
    (source / "GOT-10k_Val_000001" / "GOT-10k_Val_000001_001.txt").write_text(text(BOXES))
    (source / "GOT-10k_Val_000001" / "GOT-10k_Val_000001_time.txt").write_text("0.1\nnan\n0.1\n")
    with pytest.raises(UserError, match=r"_time\.txt, line 2: a time is no number of seconds"):
        written(tmp_path, source)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("Deer.txt", b"1,2,3,4\n1,2,3\n", "line 2: expected 4 numbers"),
        ("Deer.txt", b"", "the file is empty"),
        ("Deer.txt", b"\xff\xfe1,2", "not a text file"),
        ("Deer_time.txt", b"0.1\n", "1 times for 3 boxes"),
        ("d/d_001.txt", b"\xff\xfe1", "not a text file"),
        ("d/d_time.txt", b"\xff\xfe1", "not a text file"),
    ],
)
def test_damaged_files_are_named_and_the_others_imported(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture, name: str, content: bytes, reason: str
) -> None:
    nested = name.startswith("d/")
    for sequence in ("Biker", "Deer" if not nested else "d"):
        file = source / (f"{sequence}/{sequence}_001.txt" if nested else f"{sequence}.txt")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text(BOXES))
    (source / name).write_bytes(content)
    assert main([str(source), "a/b", "--results", str(tmp_path / "results")]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("1 results imported")
    first, last = shown.err.splitlines()
    assert str(source / name) in first and reason in first
    assert last == "1 file(s) cannot be read; the others are imported"
    assert {path.stem for path in (tmp_path / "results").rglob("*.txt")} == {"Biker"}


def test_many_names_are_cut(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture) -> None:
    (source / "Deer.txt").write_text(text(BOXES))
    for number in range(1120):
        (source / f"training{number:04d}.txt").write_text(text(BOXES))
    options = [str(source), "a/b", "--dataset_name", "otb", "--results", str(tmp_path / "results")]
    assert main(options) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith(
        "1120 not of otb, left out: training0000, training0001, training0002 and 1117 more (--list_all"
    )
    assert main([*options, "--list_all"]) == 0
    assert "training1119" in capsys.readouterr().out
