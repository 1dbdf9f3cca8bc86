"""The paper's table beside measured figures; annotations without videos; figures by attribute."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltr.dataset.boxfile import format_boxes
from ltr.errors import UserError
from pytracking import run_report
from pytracking.analysis import published
from pytracking.analysis.annotations import find_sequences
from pytracking.analysis.bootstrap import paired_difference
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.scores import Scores
from pytracking.analysis.tables import attribute_table, difference_table, format_table, write_csv
from pytracking.evaluation.tracker import trackerlist

DATA = Path(__file__).parents[2] / "data" / "foreign_results.npz"
NAMES = ("Deer", "Couple", "Skiing", "Crossing")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """ATOM and SiamFC on four sequences of OTB, and ATOM on one of LaSOT."""
    root = tmp_path / "results"
    with np.load(DATA) as data:
        for tracker in ("ATOM", "SiamFC"):
            folder = root / tracker.lower() / "published"
            folder.mkdir(parents=True)
            for name in NAMES:
                (folder / f"{name}.txt").write_text(format_boxes(data[f"otb_{name}_{tracker}"]))
        (root / "atom" / "published" / "yoyo-15.txt").write_text(format_boxes(data["lasot_ATOM"]))
    return root


@pytest.fixture
def otb(tmp_path: Path) -> Path:
    """pysot's JSON of the four sequences."""
    with np.load(DATA) as data:
        content = {name: {"gt_rect": data[f"otb_{name}_annotation"].tolist()} for name in NAMES}
    path = tmp_path / "OTB100.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def lasot(tmp_path: Path) -> Path:
    """LaSOT's toolkit: a folder of boxes with a folder of absence."""
    folder = tmp_path / "annotations"
    (folder / "absent").mkdir(parents=True)
    with np.load(DATA) as data:
        np.savetxt(folder / "yoyo-15.txt", data["lasot_annotation"], delimiter=",", fmt="%d")
        np.savetxt(folder / "absent" / "yoyo-15.txt", ~data["lasot_visible"], fmt="%d")
    return folder


@pytest.fixture
def scores(results: Path, otb: Path) -> Scores:
    runs = trackerlist("atom", "published", display_name="ATOM") + trackerlist("siamfc", "published", None, "SiamFC")
    return extract_scores(runs, find_sequences("otb", otb).sequences, results)


def test_the_published_table(capsys: pytest.CaptureFixture) -> None:
    paper = published.published_table()
    assert paper.trackers["DiMP-NCE+"] == {
        "trackingnet": 78.7,
        "lasot": 63.7,
        "uav": 67.2,
        "nfs": 65.0,
        "otb": 70.7,
    }
    assert len(paper.trackers) == 11
    assert sum(len(figures) for figures in paper.trackers.values()) == 55 - 4
    assert run_report.main(["--published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["published", "TrackingNet", "LaSOT", "UAV123", "NFS", "OTB-100"]
    assert lines[3].split() == ["UPDT", "61.1", "-", "54.5", "53.7", "70.2"]
    assert "64.8 (62.3)" in lines[8]
    assert "BMVC 2020" in lines[13]


def test_measured_beside_published(results: Path, otb: Path, lasot: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["--results", str(results), "--dataset", f"otb={otb}"]
    trackers = ["atom/published=ATOM", "siamfc/published=SiamFC"]
    assert run_report.main([*trackers, *command, "--attributes", "--against", "ATOM", "--published"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "measured AUC" in lines[0]
    atom, siamfc = lines[2].split(), lines[3].split()
    assert atom[:3] == ["ATOM", "OTB-100", "66.9"]
    assert float(atom[4]) == pytest.approx(float(atom[3]) - 66.9, abs=0.006)
    assert (siamfc[2], siamfc[4], siamfc[-1]) == ("-", "-", "4")
    assert "published: How to Train" in out
    assert "measured: from raw results on this machine, protocol pytracking" in out
    assert "AUC on otb" in out
    assert "AUC against ATOM" in out
    assert "10000 samples, seed 0" in out

    options = ["--dataset", f"lasot={lasot}", "--protocol", "got10k", "--published"]
    assert run_report.main(["atom/published=ATOM", *command, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "measured AO" in lines[0]
    assert [line.split()[1] for line in lines[2:4]] == ["OTB-100", "LaSOT"]
    # 1000 frames without the first and 33 absent ones; the figure is that of test_toolkits' plain count.
    assert lines[3].split()[3] == "70.85"


def test_a_data_set_on_disk(sequence_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "results" / "a" / "b"
    folder.mkdir(parents=True)
    boxes = np.loadtxt(sequence_root / "near" / "groundtruth_rect.txt", delimiter=",")
    for name in ("near", "group_far"):
        (folder / f"{name}.txt").write_text(format_boxes(boxes))
    command = ["a/b", "--dataset", f"folder={sequence_root}", "--results", str(tmp_path / "results"), "--markdown"]
    assert run_report.main([*command, "--published"]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert [cell.strip() for cell in row.split("|")][1:5] == ["a/b", "folder", "-", "95.24"]


def test_bad_command_lines(results: Path, otb: Path) -> None:
    with pytest.raises(UserError, match="name trackers and, with --dataset_name"):
        run_report.main(["--dataset", "otb", "--published"])
    command = ["atom/published=ATOM", "--dataset", f"otb={otb}", "--results", str(results)]
    with pytest.raises(UserError, match="unknown protocol 'lassot'; did you mean 'lasot'"):
        run_report.main([*command, "--protocol", "lassot", "--published"])
    with pytest.raises(UserError, match="unknown tracker 'ATON'; did you mean 'ATOM'"):
        run_report.main([*command, "--against", "ATON", "--published"])


def test_annotations_without_videos(otb: Path, lasot: Path) -> None:
    sequences = find_sequences("otb", otb).sequences
    assert [sequence.name for sequence in sequences] == ["Couple", "Crossing", "Deer", "Skiing"]
    assert sequences[2].attributes == ("MB", "FM", "IPR", "BC", "LR")
    assert len(sequences[2].frames) == 71
    (yoyo,) = find_sequences("lasot", lasot).sequences
    assert yoyo.target_visible is not None
    assert (~yoyo.target_visible).sum() == 33
    content = {"a": {"gt_rect": [[1, 2, 3, 4], [1, 2, 3, 4]], "absent": [1, 0]}}
    otb.write_text(json.dumps(content))
    (other,) = find_sequences("other", otb).sequences
    assert other.target_visible is not None
    assert other.target_visible.tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "an object of sequences"),
        ('{"Deer": {}}', "'Deer' has no boxes"),
        ('{"Deer": {"gt_rect": [[1, 2, 3]]}}', "'Deer' has no boxes"),
        ('{"Dear": {"gt_rect": [[1, 2, 3, 4]]}}', "'Dear' is not a sequence of otb"),
        ('{"Deer": {"gt_rect": [[1, 2, 3, 4]], "absent": [1, 1]}}', "1 boxes and 2 values of absence"),
        (
            '{"Deer": {"gt_rect": [[1, 2, 3, 4]], "absent": "x"}}',
            "'absent' of sequence 'Deer' is not a list of 0 and 1",
        ),
        ('{"Deer": {"gt_rect": [[1, 2, 3, 4]], "absent": [true]}}', "'absent' of sequence 'Deer' is not a list"),
        ('{"Deer": {"gt_rect": [[1, 2, 3, 4]], "absent": [2]}}', "'absent' of sequence 'Deer' is not a list"),
        ('{"Deer": {"gt_rect": [[1, 2, 3, "4"]]}}', "'Deer' has no boxes"),
        ('{"Deer": {"gt_rect": [[1, 2, 3, true]]}}', "'Deer' has no boxes"),
        ('{"Deer": [1]}', "'Deer' has no boxes"),
    ],
)
def test_damaged_annotations(otb: Path, content: str, message: str) -> None:
    otb.write_text(content)
    with pytest.raises(UserError, match=message):
        find_sequences("otb", otb)


def test_missing_annotations(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such file"):
        find_sequences("otb", tmp_path / "none")
    with pytest.raises(UserError, match="0 of 100 sequences are there"):
        find_sequences("otb", tmp_path)


def test_figures_by_attribute(scores: Scores) -> None:
    figures = {name: scores.mean(scores.headline, rows) for name, rows in scores.attribute_rows().items()}
    deer = scores.sequences.index("Deer")
    assert np.allclose(figures["MB"], scores.auc[deer])
    with_sv = [s for s, name in enumerate(scores.sequences) if name in ("Couple", "Crossing", "Skiing")]
    assert np.allclose(figures["SV"], scores.auc[with_sv].mean(axis=0))
    lines = attribute_table(scores).splitlines()
    assert lines[0].split()[3] == "sequences"
    assert [line.split()[:2] for line in lines[2:] if line.startswith(("SV", "all"))] == [["SV", "3"], ["all", "4"]]
    (legend,) = [line for line in lines if line.startswith("attributes: BC background clutter, ")]
    assert {*scores.attribute_rows()} == {part.split()[0] for part in legend.partition(": ")[2].split(", ")}


def test_nothing_known_of_attributes(scores: Scores, results: Path, lasot: Path) -> None:
    sequences = find_sequences("elsewhere", lasot).sequences
    other = extract_scores(trackerlist("atom", "published"), sequences, results)
    with pytest.raises(UserError, match="no attributes are known for the sequences of elsewhere"):
        attribute_table(other)


def test_differences_are_of_the_headline_figure(scores: Scores) -> None:
    lines = difference_table(scores, "SiamFC", markdown=True).splitlines()
    expected = scores.auc.mean(axis=0)
    assert f"{expected[0] - expected[1]:+.2f}" in lines[2]
    assert "paired bootstrap over 4 sequences" in "\n".join(lines)


def test_scores_as_a_table(scores: Scores, tmp_path: Path) -> None:
    frame = scores.to_pandas()
    assert len(frame) == 4 * 2
    wide = frame.pivot_table(index="sequence", columns="tracker", values="AUC", sort=False)
    assert np.allclose(wide[scores.trackers], scores.auc)
    assert np.allclose(frame.groupby("tracker")["precision"].mean()[scores.trackers], scores.mean(scores.precision))
    assert frame["flags"].unique().tolist() == [""]
    assert frame["fps"].isna().all()
    assert set(frame["frames"]) == set(scores.frames)
    curves = scores.curves("prec").to_pandas()
    at_20 = curves[curves["threshold"] == 20].pivot(index="sequence", columns="tracker", values="value")
    assert np.allclose(at_20.loc[scores.sequences, scores.trackers], scores.precision)


def test_runs_stay_apart_in_the_table(results: Path, otb: Path) -> None:
    for run in ("000", "001"):
        shutil.copytree(results / "atom" / "published", results / "atom" / f"published_{run}")
    (results / "atom" / "published_001" / "Deer.txt").write_text("1,1,5,5\n" * 60)
    runs = trackerlist("atom", "published", (0, 1), "ATOM")
    merged = extract_scores(runs, find_sequences("otb", otb).sequences, results, merge_results=True)
    frame = merged.to_pandas()
    assert frame["run"].tolist() == [0, 1] * 4
    deer = frame[frame["sequence"] == "Deer"]
    assert deer["AUC"].mean() == pytest.approx(merged.auc[merged.sequences.index("Deer"), 0])
    assert deer["flags"].tolist() == ["", "60 boxes for 71 frames"]


def test_names_cannot_break_a_table(tmp_path: Path) -> None:
    hostile = "a|b\n\x1b[31m\udcff"
    plain = format_table(["tracker", "AUC"], [[hostile, "1"]])
    assert plain.splitlines()[2].split() == ["a|b\\n\\x1b[31m\\udcff", "1"]
    markdown = format_table(["tracker", "AUC"], [[hostile, "1"]], markdown=True)
    assert "a\\|b\\n" in markdown
    assert len(markdown.splitlines()) == 3
    frame = pd.DataFrame({"tracker": ["=cmd()", "+1", "-x", "@a", hostile], "AUC": [-1.0, 2, 3, 4, 5]})
    lines = write_csv(tmp_path / "t.csv", frame).read_text().splitlines()
    assert [line[:2] for line in lines[1:5]] == ["'=", "'+", "'-", "'@"]
    assert lines[1].endswith(",-1.0")
    assert len(lines) == 6


def test_csv_of_a_report(results: Path, otb: Path, tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    command = [
        "atom/published==ATOM",
        "siamfc/published=SiamFC",
        "--dataset_name",
        f"otb={otb}",
        "--results",
        str(results),
    ]
    assert run_report.main([*command, "--table", "--csv", str(file)]) == 0
    frame = pd.read_csv(file)
    assert frame["tracker"].unique().tolist() == ["'=ATOM", "SiamFC"]
    assert frame.loc[frame["sequence"] == "Deer", "attributes"].iloc[0] == "MB FM IPR BC LR"


@pytest.mark.parametrize(
    ("label", "row"),
    [
        ("siamrpnpp/published", "SiamRPN++"),
        ("SIAMRPN++", "SiamRPN++"),
        ("atom/published", "ATOM"),
        ("dimp/dimp_nceplus", "DiMP-NCE+"),
        ("dimp50", "DiMP-50"),
        ("atom/atom_nceplus", None),
        ("mine", None),
    ],
)
def test_labels_of_the_published_table(label: str, row: str | None) -> None:
    assert published.published_table().row(label) == row


def test_the_published_table_says_how_to_give_a_label(results: Path, otb: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["atom/published", "siamfc/published", "--dataset_name", f"otb={otb}", "--results", str(results)]
    assert run_report.main([*command, "--published"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[2].split()[:5] == ["atom/published", "=", "ATOM", "OTB-100", "66.9"]
    assert "not in the published table: siamfc/published; a label says which row is meant" in out
    assert "SiamRPN++" in out


def test_few_sequences_decide_nothing(scores: Scores) -> None:
    found = difference_table(scores, "SiamFC").splitlines()
    assert found[2].endswith("too few")
    assert "warning: fewer than 8 sequences" in "\n".join(found)
    values = np.arange(8.0)
    assert paired_difference(values + 1, values).verdict == "yes"
    assert paired_difference(values[:7] + 1, values[:7]).verdict == "too few"
    weights = np.array([1.0] * 7 + [0])
    assert paired_difference(values + 1, values, weights=weights).verdict == "too few", "one of eight does not count"
