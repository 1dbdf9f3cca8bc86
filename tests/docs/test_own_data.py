"""docs/own_data.md: its recipe trains on folders laid out as the page says, and its checks pass on them."""

from __future__ import annotations

import pytest
from doc_code import code_blocks, load_code
from mini_training_sets import make_coco, write_video
from tiny_data import write_lines
from tiny_networks import make_networks_narrow

import pytracking
from ltr.__main__ import main as ltr_command
from ltr.train_settings.recipe import with_changes
from ltr.trainers.loop import RunSettings, train

(CODE,) = code_blocks("own_data.md")
COMMANDS = [line for block in code_blocks("own_data.md", "") for line in block.splitlines()]
TINY = [
    "network.arguments.backbone_pretrained=False",
    "network.arguments.box_dim=8",
    "network.arguments.out_feature_dim=8",
    "crop.output_size=96",
    "batch_size=2",
    "epochs=1",
    "data.samples_per_epoch=6",
    "data.validation_samples=2",
    "box.arguments.num_samples=6",
    "refinement.steps=1",
    "precision=fp32",
]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Fourteen videos, of which two are kept for validation, and images with masks."""
    videos = tmp_path / "videos"
    for k in range(14):
        lines = write_video(videos / f"clip{k:02d}" / "img", k, 1, 4)
        write_lines(videos / f"clip{k:02d}" / "groundtruth_rect.txt", [*lines[:5], "nan,nan,nan,nan", *lines[6:]])
    objects = make_coco(tmp_path / "objects", "train")
    monkeypatch.setenv("EBM_TRACKING_FOLDER", str(videos))
    monkeypatch.setenv("EBM_TRACKING_COCO_FORMAT", str(objects))
    monkeypatch.setenv("EBM_TRACKING_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_its_recipe_trains_and_the_network_tracks(folders, monkeypatch):
    make_networks_narrow(monkeypatch)
    recipe = with_changes(load_code(CODE, folders / "mine.py").recipe(), TINY)
    assert recipe.name == "mine"
    result = train(recipe, RunSettings(workspace=folders / "workspace", device="cpu", num_workers=0))
    tracker = pytracking.load_tracker("dimp_nceplus_lite", net_path=str(result), image_sample_size=96)
    assert type(tracker).__name__ == "OnlineTracker"


def test_its_checks_pass(folders, capsys):
    checks = [line.split()[4:] for line in COMMANDS if line.startswith("python -m ltr check")]
    assert len(checks) == 2
    for check in checks:
        assert ltr_command(["check", *check]) == 0, capsys.readouterr()


def test_its_script_says_in_one_line_where_data_should_be(folders, monkeypatch, capsys):
    example = load_code(CODE, folders / "mine.py")
    monkeypatch.delenv("EBM_TRACKING_FOLDER")
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(folders / "none.toml"))
    run = RunSettings(workspace=folders / "workspace", device="cpu", num_workers=0)
    assert example.exit_status(lambda: example.train(with_changes(example.recipe(), TINY), run)) == 2
    assert "EBM_TRACKING_FOLDER" in capsys.readouterr().err
