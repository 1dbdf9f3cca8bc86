"""The speed benchmark: it runs, accounts for a frame's time, and says where weights are random. Asserts no speed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import speed
from ltr.errors import UserError
from ltr.run_training import recipes
from pytracking.registry import list_trackers, load_parameters


def test_a_tracker_without_a_network_has_no_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "speed.json"
    options = ["--parameters", "kcf", "--frames", "4", "--warmup", "1", "--threads", "1", "--json", str(report)]
    assert speed.main(options) == 0
    assert "kcf" in capsys.readouterr().out
    content = json.loads(report.read_text())
    assert content["settings"]["frames"] == 4 and content["machine"]["cores"] >= 1
    (result,) = content["results"]
    assert result["weights"] == "none" and result["network"] is None
    assert result["p10"] <= result["median"] <= result["p90"]


def test_random_weights_are_named_and_stages_add_up() -> None:
    images, box = speed.synthetic_clip(4, width=320, height=240)
    result = speed.measure("dimp18", images, box, warmup=1, device="cpu")
    assert result.weights == "random"
    assert all(share > 0 for share in result.shares.values()), "every stage works on every frame"
    assert result.network is not None and 0 < result.network < 1
    others = result.shares["crop"] + result.shares["memory"]
    assert sum(result.shares.values()) == pytest.approx(result.network + others)
    assert sum(result.shares.values()) <= 1


def test_an_unknown_parameter_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="csrt"):
        speed.main(["--parameters", "kcf", "csr"])
    assert capsys.readouterr().out == ""


def test_a_batch_is_compared_with_its_targets_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--parameters", "dimp_nceplus_lite", "--batch", "2", "--frames", "2", "--warmup", "1", "--threads", "1"]
    assert speed.main(options) == 0
    assert "dimp_nceplus_lite: 2 targets in a batch" in capsys.readouterr().out
    with pytest.raises(UserError, match="kcf does not track in batches"):
        speed.main(["--parameters", "kcf", "--batch", "2"])


def test_a_short_clip_is_played_back_and_forth() -> None:
    images, box = speed.read_clip("juggler", 170)
    assert len(images) == 170 and len(box) == 4
    np.testing.assert_array_equal(images[83], images[81])
    np.testing.assert_array_equal(images[164], images[0])


def test_the_synthetic_target_is_where_the_box_says() -> None:
    images, (x, y, w, h) = speed.synthetic_clip(2)
    assert (images[0] != images[1])[int(y) : int(y + h), int(x) : int(x + w)].any()
    ground, _ = speed.synthetic_clip(1, seed=1)
    assert images[0].shape == ground[0].shape == (360, 640, 3)


@pytest.mark.parametrize("words", [["--threads", "0"], ["--frames", "many"]])
def test_bad_numbers_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(["--parameters", "kcf", *words])
    assert words[0] in capsys.readouterr().err


def test_every_dimp_and_atom_parameter_can_be_measured_without_its_weights() -> None:
    names = [load_parameters(name, kind).net_name for kind in ("dimp", "atom") for name in list_trackers()[kind]]
    assert {speed.recipe_of(name) for name in names} <= recipes().keys()
