"""The search for the compact tracker's parameters: held-out scenes, rows that are kept, a table against the first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image, write_lines

from experiments import lite_search
from experiments.lite_search import Scene, composited_scenes, main, real_scenes, search, success, table
from pytracking.networks import network_file

SQUARE = np.tile((10.0, 10.0, 40.0, 40.0), (5, 1))


def a_scene(name="real", counted=None):
    image = np.full((120, 160, 3), 90, np.uint8)
    image[10:50, 10:50] = (220, 40, 30)
    return Scene(name, SQUARE, np.ones(5, bool) if counted is None else counted, lambda t: image)


def test_success_counts_visible_frames_after_the_first():
    boxes = SQUARE.copy()
    boxes[0] = 500
    assert success(boxes, a_scene()) == pytest.approx(100 * 20 / 21), "an overlap of 1 is not above the threshold 1"
    boxes[3, 0] += 20
    third = 100 * (3 * 20 + 7) / 4 / 21
    assert success(boxes, a_scene()) == pytest.approx(third), "an overlap of 1/3 is above 7 of 21 thresholds"
    assert success(boxes, a_scene(counted=np.array((1, 1, 1, 0, 1), bool))) == pytest.approx(100 * 20 / 21)


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    for k in range(40):
        write_image(root / "toys" / "rgba" / f"{k:03d}.png", shape_rgba((5 * k, 90, 60)))
        write_image(root / "backgrounds" / f"{k:03d}.jpg", scene(k, 300, 200))
    for name in ("davis_schoolgirls", "davis_hike", "fod_Bolt_1", "scbt_BookStand_0"):
        for t in range(3):
            write_image(root / "videos" / name / "img" / f"{t:04d}.png", scene(t))
        write_lines(root / "videos" / name / "groundtruth_rect.txt", ["5,5,20,20", "nan,nan,nan,nan", "6,5,20,20"])
    return root


def test_scenes_are_held_out_ones_only(data):
    found = real_scenes(data)
    assert [scene.name for scene in found] == ["davis_schoolgirls", "scbt_BookStand_0"]
    assert found[0].counted.tolist() == [True, False, True] and found[0].frame(1).shape == (48, 64, 3)
    made = composited_scenes(data, 3)
    assert len(made) == 3 and all(scene.counted[0] and scene.counted.mean() > 0.7 for scene in made)
    assert made[0].frame(2).shape[2] == 3 and not np.array_equal(made[0].frame(2), made[1].frame(2))


def test_a_network_is_tracked_once_and_its_rows_are_kept(tmp_path, monkeypatch):
    network, output = network_file("dimp_nceplus_lite"), tmp_path / "search.json"
    variants = {"as it is": {}, "fewer steps": {"box_refinement_iter": 2, "box_refinement_step_length": (1e-3, 4e-3)}}
    rows = search([a_scene()], network, variants, "dimp_nceplus_lite", output)
    assert [row["name"] for row in rows] == list(variants) and all(row["auc"]["real"] > 60 for row in rows)
    assert json.loads(output.read_text()) == rows
    monkeypatch.setattr(lite_search, "track", lambda *arguments: pytest.fail("this is there already"))
    assert search([a_scene()], network, variants, "dimp_nceplus_lite", output) == rows


def test_the_table_compares_with_the_first_row_of_the_same_weights(tmp_path, capsys):
    def row(weights, name, real, made):
        return {"weights": weights, "name": name, "auc": {"a": real, "composited_1": made}, "milliseconds": 20.0}

    rows = [row("one", "as it is", 50.0, 40.0), row("two", "as it is", 10.0, 10.0), row("one", "other", 52.0, 44.0)]
    lines = table(rows).splitlines()
    assert lines[2] == "| one | as it is | 45.0 | 50.0 | 40.0 | +0.0 | +0.0 to +0.0 | 20 |"
    assert lines[4] == "| one | other | 48.0 | 52.0 | 44.0 | +3.0 | +2.0 to +4.0 | 20 |"
    part = {"weights": "one", "name": "in part", "auc": {"a": 53.0}, "milliseconds": None}
    assert table([*rows, part]).splitlines()[5] == "| one | in part | 53.0 | 53.0 | - | +3.0 | +3.0 to +3.0 | - |"
    more = row("one", "more scenes", 60.0, 40.0)
    more["auc"]["composited_2"] = 50.0
    again = {**more, "name": "the same scenes"}
    last = table([*rows, more, again]).splitlines()[-1]
    assert last == "| one | the same scenes | 50.0 | 60.0 | 45.0 | +0.0 | +0.0 to +0.0 | 20 |"
    first, second = table(rows, against="on").splitlines()[2:4]
    assert first == lines[2] and second == "| two | as it is | 10.0 | 10.0 | 10.0 | -35.0 | -40.0 to -30.0 | 20 |"
    output = tmp_path / "rows.json"
    output.write_text(json.dumps(rows))
    assert main(["--table", "--output", str(output)]) == 0 and lines[4] in capsys.readouterr().out
    assert main(["--output", str(output)]) == 2 and "name the data folder" in capsys.readouterr().err
