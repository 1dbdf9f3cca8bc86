"""Tracking for training: figures of a network file on chosen sequences; names are checked before."""

from __future__ import annotations

import pkgutil

import pytest
import torch
from tiny_data import write_image, write_lines
from tiny_tracking import square_video

from ltr.admin.checkpoint import save_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.run_training import build_parser
from ltr.train_settings.recipe import TrackingValidation
from pytracking.evaluation.training_validation import prepare


def chosen(**changes):
    return TrackingValidation(
        **{"parameter": "dimp_nceplus_lite", "dataset": "folder", "sequences": ("square",), **changes}
    )


@pytest.fixture
def videos(tmp_path, monkeypatch):
    boxes = [(40 + 2 * t, 30, 40, 40) for t in range(4)]
    for name in ("square", "other"):
        for t, frame in enumerate(square_video(boxes)):
            write_image(tmp_path / "videos" / name / "img" / f"{t + 1:04d}.png", frame)
        write_lines(tmp_path / "videos" / name / "groundtruth_rect.txt", [",".join(map(str, box)) for box in boxes])
    monkeypatch.setenv("EBM_TRACKING_FOLDER", str(tmp_path / "videos"))
    return tmp_path


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    constructor = NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 16, "box_dim": 16})
    save_network(tmp_path / "net.safetensors", constructor.build(), constructor)
    return tmp_path / "net.safetensors"


def test_a_network_is_tracked_on_the_chosen_sequences(videos, network):
    track = prepare(chosen())
    figures = track(network, videos / "work")
    assert set(figures) == {"auc", "op50", "precision", "norm_precision", "fps"}
    assert 0 < figures["auc"] <= 100
    assert figures["fps"] > 0
    written = sorted(path.name for path in (videos / "work" / "results" / "dimp" / "dimp_nceplus_lite").glob("*.txt"))
    assert "square.txt" in written
    assert "other.txt" not in written

    (videos / "videos" / "square" / "img" / "0003.png").write_bytes(b"")
    with pytest.raises(RuntimeError, match="square: frame 3 of 4"):
        track(network, videos / "work")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameter": "dimp_ncepls_lite"}, "did you mean 'dimp_nceplus_lite'"),
        ({"tracker": "static", "parameter": "default"}, "net_path"),
        ({"dataset": "folde"}, "did you mean 'folder'"),
        ({"sequences": ("squar",)}, "did you mean 'square'"),
    ],
)
def test_names_are_checked_before_training(videos, changes, message):
    with pytest.raises(ValueError, match=message):
        prepare(chosen(**changes))


def test_the_training_command_takes_it_unless_told_otherwise():
    options = build_parser().parse_args(["dimp_nceplus_lite"])
    assert pkgutil.resolve_name(options.track_with) is prepare
