"""The accuracy benchmark: groups by folder, leads and worst sequences, on clips that take a second."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

import pytracking
from experiments.benchmarks import accuracy
from ltr.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two groups with the first 5 frames of one demo clip each."""
    for sequence in pytracking.get_dataset("demo", sequences=["ball", "dog"]):
        target = tmp_path / "sequences" / f"group_{sequence.name}" / sequence.name
        (target / "img").mkdir(parents=True)
        for number, frame in enumerate(sequence.frames[:5], start=1):
            shutil.copy(frame, target / "img" / f"{number:04d}{frame.suffix}")
        boxes = ["\t".join(map(str, box)) for box in sequence.ground_truth_rect[:5]]
        (target / "groundtruth_rect.txt").write_text("\n".join(boxes))
    return tmp_path / "sequences"


def test_groups_leads_and_worst(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [str(folder), "--trackers", "opencv/kcf", "--peers", "static/default", "--results", str(tmp_path / "r")]
    assert accuracy.main([*command, "--csv", str(tmp_path / "t.csv")]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith(("group_", "all"))]
    assert [" ".join(row[:3]) for row in rows[:6:2]] == [
        "group_ball opencv/kcf 1",
        "group_dog opencv/kcf 1",
        "all opencv/kcf 2",
    ]
    assert rows[5][-2:] == ["too", "few"]
    assert "worst of opencv/kcf" in out
    frame = pd.read_csv(tmp_path / "t.csv")
    mean = frame[frame["tracker"] == "opencv/kcf"]["AUC"].mean()
    assert float(rows[4][3]) == pytest.approx(mean, abs=0.051)


def test_a_folder_without_sequences(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        accuracy.main([str(tmp_path), "--trackers", "static/default"])
