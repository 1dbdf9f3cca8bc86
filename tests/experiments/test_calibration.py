"""Uncertainty against true errors: coverage, the temperature, ranks, and what the command keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_data import scene, write_image, write_lines

from experiments import calibration
from experiments.calibration import choose_temperature, comparison, coverage, figures, main, observe, table
from experiments.lite_search import Scene
from ltr.errors import UserError

WIDTHS = np.exp(np.random.default_rng(0).uniform(-4, -1, (4000, 4)))
ERRORS = WIDTHS * np.random.default_rng(1).standard_normal((4000, 4))


def test_gaussian_errors_are_covered_as_stated_and_others_give_their_temperature():
    assert np.abs(coverage(WIDTHS, ERRORS, (0.5, 0.8, 0.95), 1.0) - [[0.5], [0.8], [0.95]]).max() < 0.02
    assert coverage(WIDTHS, ERRORS, (0.5,), 4.0)[0, 0] == pytest.approx(0.823, abs=0.02)
    assert choose_temperature(WIDTHS, ERRORS) == pytest.approx(1, rel=0.07)
    assert choose_temperature(WIDTHS / 2, ERRORS) == pytest.approx(4, rel=0.07)


def test_frames_beside_the_target_are_counted_and_left_out():
    overlap = np.arange(4000) % 4 > 0
    found = figures(WIDTHS, np.where(overlap[:, None], ERRORS, 100.0), overlap, 1.0)
    assert (found["frames"], found["left_out"]) == (3000, 1000)
    assert np.abs(np.array(found["coverage"]["1.0"])[2] - 0.95).max() < 0.02
    assert np.abs(np.array(found["all_frames"])[2] - 0.95 * 0.75).max() < 0.02
    assert all(0.4 < rank < 0.9 for rank in found["rank_correlation"])


@pytest.fixture
def square():
    image = scene(1, 160, 120)
    image[30:80, 40:90] = (220, 40, 30)
    return Scene("square", np.tile((40.0, 30.0, 50.0, 50.0), (4, 1)), np.array((1, 1, 0, 1), bool), lambda t: image)


def test_counted_frames_are_observed(square):
    deviations, errors, overlap = observe([square], "dimp_nceplus_lite", 60)
    assert deviations.shape == errors.shape == (2, 4) and overlap.all()
    assert (deviations > 0).all() and (deviations < 1).all() and np.abs(errors).max() < 0.5
    assert len(observe([square], "dimp_nceplus_lite", 2)[0]) == 1


def test_the_command_keeps_figures_table_and_picture(square, tmp_path, monkeypatch):
    folder = tmp_path / "sequences" / "square"
    for t in range(4):
        write_image(folder / "img" / f"{t:04d}.png", square.frame(t))
    write_lines(folder / "groundtruth_rect.txt", ["40,30,50,50"] * 4)
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- calibration -->\n<!-- end -->\n<!-- calibration-objectives -->\n<!-- end -->\n")
    files = ["--output", tmp_path / "kept.json", "--page", page, "--picture", tmp_path / "picture.png"]
    monkeypatch.setattr(calibration, "real_scenes", lambda root: [square])
    monkeypatch.setattr(calibration, "composited_scenes", lambda root: [])
    assert main(["--data", str(tmp_path), *map(str, files)]) == 0
    assert main(["--sequences", str(folder.parent), *map(str, files)]) == 0
    (kept,) = (everything := json.loads((tmp_path / "kept.json").read_text())).values()
    assert list(everything) == ["dimp_nceplus_lite"] and comparison(everything) in page.read_text()
    assert list(kept) == ["validation", "test"] and kept["test"]["frames"] == 3
    assert table(kept) in page.read_text() and (tmp_path / "picture.png").stat().st_size > 10_000
    with pytest.raises(UserError, match="name the data folder"):
        main(list(map(str, files)))
