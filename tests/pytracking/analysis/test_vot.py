"""VOT's accuracy, robustness and EAO: published figures, closed forms, a plain count, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ltr.errors import UserError
from pytracking.analysis import vot
from pytracking.analysis.metrics import area_overlap, corners, region_overlap
from pytracking.analysis.votfiles import Annotation, Trajectory, read_trajectories, read_vot_annotations

GOLDEN = Path(__file__).parents[2] / "data" / "vot2018.npz"
VOT2018 = vot.VOT_PROTOCOLS["vot2018"]
PUBLISHED = {"DaSiamRPN": 0.383, "LightTrack": 0.418, "NanoTrackV3": 0.449}
SHORT = vot.VotProtocol("short", low=2, high=3, burn_in=2, skip=2)


def golden_runs(tracker: str) -> list[tuple[np.ndarray, list[int], list[int]]]:
    """(overlap, starts, failures) of the 60 sequences of VOT2018; overlaps to 1e-4."""
    with np.load(GOLDEN) as golden:
        ends = np.cumsum(golden["lengths"])
        coded = golden[f"{tracker}_overlap"]
        overlap = np.where(coded == 65535, np.nan, coded / 10000.0)
        starts, failures = golden[f"{tracker}_starts"], golden[f"{tracker}_failures"]
    runs = []
    for begin, end in zip([0, *ends[:-1]], ends):
        inside = [[int(f - begin) for f in frames if begin <= f < end] for frames in (starts, failures)]
        runs.append((overlap[begin:end], inside[0], inside[1]))
    return runs


@pytest.mark.parametrize("tracker", PUBLISHED)
def test_published_eao(tracker: str) -> None:
    runs = [(overlap, failures) for overlap, _, failures in golden_runs(tracker)]
    assert abs(vot.expected_average_overlap(runs, VOT2018) - PUBLISHED[tracker]) < 0.003


def test_published_accuracy_and_robustness_of_dasiamrpn() -> None:
    runs = golden_runs("DaSiamRPN")
    counted = []
    for overlap, starts, _ in runs:
        late = [not any(start <= frame < start + 10 for start in starts) for frame in range(len(overlap))]
        counted += [value for value, kept in zip(overlap, late) if kept and not np.isnan(value)]
    assert abs(float(np.mean(counted)) - 0.586) < 0.003
    frames, failures = sum(len(run[0]) for run in runs), sum(len(run[2]) for run in runs)
    assert abs(100 * failures / frames - 0.276) < 0.001


@pytest.mark.parametrize("tracker", PUBLISHED)
def test_eao_by_a_plain_count(tracker: str) -> None:
    fragments: list[tuple[list[float], bool]] = []
    for overlap, _, failures in golden_runs(tracker)[:12]:
        start = 0
        for failure in failures:
            if failure + 5 < len(overlap):
                fragments.append((list(overlap[start:failure]), True))
                start = failure + 5
        rest = list(overlap[start:])
        while len(rest) > 1 and np.isnan(rest[-1]):
            rest.pop()
        fragments.append((rest, False))
    means = []
    for length in range(101, 358):
        values = []
        for fragment, failed in fragments:
            if failed or len(fragment) >= length:
                shown = [*fragment, *([0.0] * length)][1:length]
                values.append(sum(shown) / (length - 1))
        means.append(sum(values) / len(values))
    runs = [(overlap, failures) for overlap, _, failures in golden_runs(tracker)[:12]]
    assert vot.expected_average_overlap(runs, VOT2018) == pytest.approx(sum(means) / len(means), abs=1e-12)


def test_real_files(tmp_path: Path) -> None:
    with np.load(GOLDEN) as golden:
        lines, regions = golden["book_lines"].tolist(), golden["book_annotation"]
    folder = tmp_path / "DaSiamRPN" / "baseline" / "book"
    folder.mkdir(parents=True)
    (folder / "book_001.txt").write_text("\n".join(lines))
    (tmp_path / "VOT.json").write_text(json.dumps({"book": {"gt_rect": regions.tolist(), "occlusion": []}}))
    annotations = read_vot_annotations(tmp_path / "VOT.json")
    (trajectory,) = read_trajectories(tmp_path / "DaSiamRPN", annotations)["book"]
    assert trajectory.starts[0] == 0
    assert lines.count("2") == len(trajectory.failures) > 0
    figures = vot.evaluate({"book": [trajectory]}, annotations, VOT2018)
    assert figures.failures == len(trajectory.failures)
    assert figures.per_attribute == {}
    assert 0.3 < figures.accuracy < 0.8


def perfect(frames: int, fails: tuple[int, ...] = ()) -> tuple[Trajectory, Annotation]:
    """Perfect but for failures, after which it starts again 2 frames later."""
    regions = np.tile(corners(np.array([10.0, 10, 20, 20])), (frames, 1, 1))
    answered = regions.copy()
    starts = [0] + [fail + 2 for fail in fails if fail + 2 < frames]
    for fail in fails:
        answered[fail : fail + 2] = np.nan
    answered[starts] = np.nan
    return Trajectory(answered, starts, list(fails)), Annotation(regions, {"odd": np.arange(frames) % 2 == 1})


def test_closed_forms() -> None:
    trajectory, annotation = perfect(10)
    figures = vot.evaluate({"a": [trajectory]}, {"a": annotation}, SHORT)
    assert (figures.accuracy, figures.robustness, figures.eao, figures.failures) == (1, 0, 1, 0)
    trajectory, annotation = perfect(10, (3,))
    figures = vot.evaluate({"a": [trajectory]}, {"a": annotation}, SHORT)
    assert (figures.accuracy, figures.robustness, figures.failures) == (1, 10, 1)
    # N = 3: both fragments are 1; N = 4: the one that failed at frame 3 has 2 of 3 frames.
    assert figures.eao == pytest.approx((1 + (2 / 3 + 1) / 2) / 2)
    assert figures.per_sequence == {"a": (1, 1)}
    assert figures.per_attribute == {"odd": (1, 1)}


def test_repetitions_are_averaged() -> None:
    first, annotation = perfect(10)
    second, _ = perfect(10, (3,))
    figures = vot.evaluate({"a": [first, second]}, {"a": annotation}, SHORT)
    assert (figures.failures, figures.robustness) == (0.5, 5)


def test_a_failure_without_room_for_a_restart_ends_its_fragment() -> None:
    trajectory, annotation = perfect(6, (5,))
    assert vot.evaluate({"a": [trajectory]}, {"a": annotation}, SHORT).eao == 1
    tiny, annotation = perfect(1)
    figures = vot.evaluate({"a": [tiny]}, {"a": annotation}, SHORT)
    assert np.isnan(figures.eao)
    assert np.isnan(figures.accuracy)


def test_overlaps_of_regions() -> None:
    square = corners(np.array([0.0, 0, 9, 9]))
    diamond = corners(np.array([0.0, 10, 10, 0, 20, 10, 10, 20]))
    assert region_overlap(square, square) == 1
    assert region_overlap(square, square + 50) == 0
    # Ten by ten pixels each, five columns of which are common.
    assert region_overlap(square, square + np.array([5.0, 0])) == pytest.approx(50 / 150)
    assert area_overlap(diamond, corners(np.array([0.0, 0, 20, 20]))) == pytest.approx(0.5)
    assert region_overlap(diamond, corners(np.array([0.0, 0, 20, 20]))) == pytest.approx(221 / 441)
    assert region_overlap(square, square * 1e5) == pytest.approx(1e-10, rel=0.01)
    assert area_overlap(square * 0, square * 0) == 0


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """One sequence of 8 frames in VOT's layout, and a result that failed once."""
    sequence = tmp_path / "annotations" / "ball"
    sequence.mkdir(parents=True)
    (sequence / "groundtruth.txt").write_text("10,10,30,10,30,30,10,30\n" * 8)
    (sequence / "occlusion.tag").write_text("0\n0\n0\n1\n0\n0\n0\n0\n")
    results = tmp_path / "results" / "ball"
    results.mkdir(parents=True)
    (results / "ball_001.txt").write_text("1\n10,10,20,20\n10,10,20,20\n2\n0\n1\n10,10,20,20\n10,10,20,20\n")
    return tmp_path


def test_command_line(layout: Path, capsys: pytest.CaptureFixture) -> None:
    command = [f"{layout / 'results'}=Mine", "--annotations", str(layout / "annotations")]
    assert vot.main([*command, "--per_sequence", "--per_attribute", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| Mine" in out
    assert "12.500" in out
    assert "| ball " in out
    assert "| occlusion |" in out
    assert "protocol vot2018: lengths 100 to 356" in out
    with pytest.raises(UserError, match="unknown VOT protocol 'vot208'; did you mean 'vot20"):
        vot.main([*command, "--protocol", "vot208"])


def test_a_sequence_that_cannot_be_read_is_left_out(layout: Path, capsys: pytest.CaptureFixture) -> None:
    command = [f"{layout / 'results'}=Mine", "--annotations", str(layout / "annotations")]
    assert vot.main(command) == 0
    whole = capsys.readouterr().out
    (layout / "annotations" / "odd").mkdir()
    (layout / "annotations" / "odd" / "groundtruth.txt").write_text("1,2,x\n")
    assert vot.main(command) == 1
    out, err = capsys.readouterr()
    assert out == whole
    assert err.startswith("failed: odd: ") and "1 sequence(s) cannot be read; the others are scored" in err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1\n" * 7, "7 lines for 8 frames"),
        ("1\n" + "3\n" * 7, "line 2: neither 0, 1, 2 nor a region"),
        ("1\n" + "1,2,nan,4\n" * 7, "line 2: neither"),
        ("1\n" + "x\n" * 7, "line 2: neither"),
        ("1\n" + "1,2,3,1_0\n" * 7, "line 2: neither"),
        ("1\n" + "\u0661,2,3,4\n" * 7, "line 2: neither"),
        ("1,2,3,4\n" * 8, r"expected 1 \(initialised\)"),
    ],
)
def test_damaged_results(layout: Path, lines: str, message: str) -> None:
    (layout / "results" / "ball" / "ball_001.txt").write_text(lines)
    with pytest.raises(UserError, match=message):
        read_trajectories(layout / "results", read_vot_annotations(layout / "annotations"))


def test_missing_results_and_annotations(layout: Path) -> None:
    annotations = read_vot_annotations(layout / "annotations")
    with pytest.raises(UserError, match="no result on 'ball'"):
        read_trajectories(layout / "annotations", annotations)
    with pytest.raises(UserError, match="no such folder"):
        read_trajectories(layout / "none", annotations)
    with pytest.raises(UserError, match=r"no <sequence>/groundtruth\.txt"):
        read_vot_annotations(layout / "results")
    with pytest.raises(UserError, match="no such file"):
        read_vot_annotations(layout / "none.json")
    (layout / "annotations" / "ball" / "occlusion.tag").write_text("0\n")
    with pytest.raises(UserError, match="1 values of 'occlusion' for 8 frames"):
        read_vot_annotations(layout / "annotations")
    for content, message in (
        ("x", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "an object of sequences"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": {}}', "'a' has no regions"),
        ('{"a": {"gt_rect": [[1, 2]]}}', "'a' has no regions"),
        ('{"a": {"gt_rect": [[1, 2, 3, "4"]]}}', "'a' has no regions"),
        ('{"a": {"gt_rect": [[1, 2, 3, 4]], "occlusion": ["no"]}}', "'a' has no regions .* or tags"),
    ):
        (layout / "bad.json").write_text(content)
        with pytest.raises(UserError, match=message):
            read_vot_annotations(layout / "bad.json")
