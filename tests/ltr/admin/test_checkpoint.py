"""Checkpoints: a round trip, and every way in which a file is not one of ours. Nothing in a file is ever executed."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ltr.admin.checkpoint import (
    CheckpointError,
    card_path,
    load_network,
    load_training_state,
    save_network,
    save_training_state,
    tracking_settings,
)
from ltr.admin.model_constructor import NetworkConstructor

LITE = NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 32, "box_dim": 32})


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    net = LITE.build()
    path = tmp_path / "net.safetensors"
    save_network(path, net, LITE, {"seed": 0}, dtype=torch.float16)
    return net, path


def test_round_trip_in_half_precision(saved):
    net, path = saved
    loaded = load_network(path)
    assert not loaded.training
    for (name, ours), (_, theirs) in zip(net.state_dict().items(), loaded.state_dict().items()):
        assert theirs.dtype == ours.dtype, name
        assert torch.allclose(ours.half().to(ours.dtype), theirs), name
    card = json.loads(card_path(path).read_text())
    assert card["constructor"] == {"name": "dimpnet_lite0", "arguments": LITE.arguments}
    assert card["seed"] == 0 and card["input"]["scale"] == 255
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(card["input"][key]).view(3, 1, 1) for key in ("mean", "std"))
    assert torch.allclose((images / card["input"]["scale"] - mean) / std, loaded.normalise(images), atol=1e-6)


def test_a_card_adds_to_what_the_header_says_of_tracking_and_changes_none_of_it(tmp_path):
    path = tmp_path / "net.safetensors"
    save_network(path, LITE.build(), LITE, {"seed": 0}, tracking={"iounet_k": 3})
    card = json.loads(card_path(path).read_text())
    card["tracking"] |= {"iounet_k": 9, "uncertainty_temperature": 0.8}
    card_path(path).write_text(json.dumps(card))
    assert tracking_settings(path) == {"iounet_k": 3, "uncertainty_temperature": 0.8}


def test_another_json_file_of_that_name_is_said_to_be_read_as_a_card(saved):
    _, path = saved
    card_path(path).write_text("[]")
    with pytest.raises(CheckpointError, match=f"not a JSON object; it is read as the card of {path.name}"):
        tracking_settings(path)


def test_another_normalisation_than_the_network_does_is_refused(saved):
    _, path = saved
    with safe_open(path, framework="pt") as stored:
        metadata = {**stored.metadata(), "input": json.dumps({"scale": 1})}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CheckpointError, match="wants its images normalised in another way"):
        load_network(path)
    del metadata["input"]
    save_file(tensors, path, metadata=metadata)
    load_network(path)


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        load_network(tmp_path / "absent.safetensors")


def test_truncated_file(saved):
    _, path = saved
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cut off"):
        load_network(path)


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this project"):
        load_network(path)


def test_unknown_constructor_names_the_nearest(tmp_path, saved):
    net, _ = saved
    path = tmp_path / "other.safetensors"
    save_network(path, net, NetworkConstructor("dimpnet_lite1"))
    with pytest.raises(CheckpointError, match="did you mean 'dimpnet_lite0'"):
        load_network(path)


def test_arguments_that_the_constructor_does_not_take(tmp_path, saved):
    net, _ = saved
    path = tmp_path / "other.safetensors"
    save_network(path, net, NetworkConstructor("dimpnet_lite0", {"colour": 3}))
    with pytest.raises(CheckpointError, match="cannot be built"):
        load_network(path)


def test_weights_that_do_not_fit(tmp_path, saved):
    net, _ = saved
    path = tmp_path / "other.safetensors"
    save_network(path, net, NetworkConstructor("dimpnet_lite0"))
    with pytest.raises(CheckpointError, match="does not fit the network it names"):
        load_network(path)


class Malicious:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("loader", [load_network, load_training_state])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path, loader):
    witness = tmp_path / "executed"
    plain, torch_zip = tmp_path / "bad.pth", tmp_path / "bad.pt"
    plain.write_bytes(pickle.dumps({"net": Malicious(witness)}))
    torch.save({"format": "ebm-tracking-1", "net": Malicious(witness)}, torch_zip)
    for path in (plain, torch_zip):
        with pytest.raises(CheckpointError, match=r"not a training checkpoint|nothing in it was|protocol 4"):
            loader(path)
    assert not witness.exists()


def test_training_state_round_trip_and_errors(tmp_path):
    path = tmp_path / "checkpoint_0001.pt"
    save_training_state(path, {"epoch": 1, "net": {"w": torch.ones(2)}})
    assert load_training_state(path)["epoch"] == 1
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cut off"):
        load_training_state(path)
    with pytest.raises(CheckpointError, match="no training checkpoint"):
        load_training_state(tmp_path / "absent.pt")
    torch.save({"epoch": 1}, path)
    with pytest.raises(CheckpointError, match="not a training checkpoint"):
        load_training_state(path)
