from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_tracking import square_video

from ltr.admin.checkpoint import save_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.errors import UserError
from pytracking.networks import NETWORKS_VARIABLE, checksum, network_file
from pytracking.registry import load_tracker


@pytest.fixture(scope="module")
def lite_network(tmp_path_factory):
    constructor = NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 16, "box_dim": 16})
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("networks") / "my_lite.safetensors"
    save_network(path, constructor.build(), constructor)
    return path


def test_a_tracker_by_name_in_five_lines(lite_network):
    frames = square_video([(60, 40, 24, 24)] * 3)
    tracker = load_tracker("dimp_nceplus_lite", net_path=str(lite_network), device="cpu")
    assert tracker.weights_sha256 == checksum(lite_network)
    tracker.initialize(frames[0], (60, 40, 24, 24))
    for frame in frames[1:]:
        result = tracker.track(frame)
        assert len(result.box) == 4 and np.isfinite(result.box).all() and np.isfinite(result.score)


def test_a_network_by_name_from_the_users_folder(lite_network, monkeypatch):
    monkeypatch.setenv(NETWORKS_VARIABLE, str(lite_network.parent))
    assert network_file("my_lite") == lite_network
    tracker = load_tracker("dimp_nceplus_lite", net_name="my_lite", device="cpu")
    assert not any(parameter.requires_grad for parameter in tracker.targets.net.parameters())


def test_an_unknown_network_says_what_there_is(lite_network, monkeypatch):
    monkeypatch.setenv(NETWORKS_VARIABLE, str(lite_network.parent))
    with pytest.raises(UserError, match=r"no network .nothing.*my_lite.*net_path.*EBM_TRACKING_NETWORKS"):
        load_tracker("super_dimp", net_name="nothing")


def test_a_missing_or_foreign_checkpoint_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        load_tracker("super_dimp", net_path=str(tmp_path / "missing.safetensors"))
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not a network")
    with pytest.raises(UserError, match=r"foreign\.safetensors is not a checkpoint"):
        load_tracker("super_dimp", net_path=str(foreign))
