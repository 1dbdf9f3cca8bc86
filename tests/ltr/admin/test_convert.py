"""Converting between this project's networks and the public framework's checkpoints, bit for bit."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from golden import fill_by_rule
from public_files import FORMATS, public_framework, write_public

from ltr.admin.checkpoint import card_path, load_network, save_network
from ltr.admin.convert import main
from ltr.admin.model_constructor import NetConstructor, NetworkConstructor
from ltr.admin.public_checkpoint import load_public_checkpoint

ATOM = ("atom_resnet18", "ltr.models.bbreg.atom")
PUBLIC_KEYS = {"net", "net_type", "constructor", "actor_type", "epoch", "stats", "settings", "optimizer", "net_info"}


@pytest.fixture(scope="module")
def net():
    return fill_by_rule(NetworkConstructor("atom_resnet18").build())


@pytest.fixture
def ours(tmp_path, net):
    path = tmp_path / "atom.safetensors"
    save_network(path, net, NetworkConstructor("atom_resnet18", {"backbone_pretrained": True}))
    return path


def equal(first, second):
    assert list(first) == list(second)
    return all(torch.equal(value, second[name]) and value.dtype == second[name].dtype for name, value in first.items())


@pytest.mark.parametrize("kind", FORMATS)
def test_public_to_ours_and_back(tmp_path, kind, net, capsys):
    first = write_public(tmp_path / "atom_default.pth", kind, net.state_dict(), *ATOM, backbone_pretrained=True)
    middle, last = tmp_path / "atom.safetensors", tmp_path / "back.pth.tar"
    assert main([str(first), str(middle)]) == 0
    assert main([str(middle), str(last)]) == 0
    assert "AtomNet of" in capsys.readouterr().out
    assert equal(net.state_dict(), load_network(middle).state_dict())
    before, after = load_public_checkpoint(first), load_public_checkpoint(last)
    assert equal(before.state_dict, after.state_dict)
    assert (after.epoch, after.net_type, after.actor_type) == (before.epoch, before.net_type, before.actor_type)
    assert after.constructor.name == "atom_resnet18"

    origin = json.loads(card_path(middle).read_text())["origin"]
    assert origin["file"] == "atom_default.pth" and origin["settings"]["batch_size"] == 20
    assert "/home/someone" not in card_path(middle).read_text()


def test_ours_to_public_has_the_public_layout(tmp_path, net, ours):
    path = tmp_path / "atom.pth.tar"
    assert main([str(ours), str(path)]) == 0
    # As the public framework reads it: its own class of that name, found by the pickle.
    with public_framework() as fakes:
        content = torch.load(path, weights_only=False)
        constructor = content["constructor"]
        assert type(constructor) is fakes["ltr.admin.model_constructor"].NetConstructor
    assert set(content) == PUBLIC_KEYS
    assert vars(constructor) == {
        "fun_name": "atom_resnet18",
        "fun_module": "ltr.models.bbreg.atom",
        "args": (),
        "kwds": {"backbone_pretrained": False},
    }
    assert content["net_type"] == "ATOMnet" and content["epoch"] == 0
    assert equal(net.state_dict(), content["net"])
    assert sys.modules["ltr.admin.model_constructor"].NetConstructor is NetConstructor


def test_half_precision_both_ways(tmp_path, net, ours):
    public, half = tmp_path / "atom.pth", tmp_path / "half.safetensors"
    assert main([str(ours), str(public)]) == 0
    assert main([str(public), str(half), "--half"]) == 0
    assert half.stat().st_size < 0.51 * public.stat().st_size
    rounded = {
        name: value.half().float() if value.is_floating_point() else value for name, value in net.state_dict().items()
    }
    assert equal(rounded, load_network(half).state_dict())


def test_errors_are_one_line_and_leave_nothing(tmp_path, net, ours, capsys):
    lite, cut, other = tmp_path / "lite.safetensors", tmp_path / "cut.pth", tmp_path / "other.safetensors"
    small = {"out_feature_dim": 16, "box_dim": 16}
    save_network(lite, NetworkConstructor("dimpnet_lite0", small).build(), NetworkConstructor("dimpnet_lite0", small))
    cut.write_bytes(b"PK\x03\x04 and no more")
    save_network(other, net, NetworkConstructor("atom_resnet18"))
    card_path(other).write_text(json.dumps({"constructor": {"name": "dimpnet50"}}))
    for source, target, message in (
        (lite, "x.pth", "public framework has no network 'dimpnet_lite0'"),
        (cut, "x.safetensors", "cut off"),
        (tmp_path / "absent.pth", "x.safetensors", "there is no checkpoint at"),
        (ours, "x.safetensors", "the target must end in .pth"),
        (cut, "x.pth", "the target must end in .safetensors"),
        (other, "x.pth", "does not describe"),
        (ours, "cut.pth", "is already there; --overwrite"),
    ):
        before = sorted(tmp_path.iterdir())
        assert main([str(source), str(tmp_path / target)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and error.startswith("error: ")
        assert sorted(tmp_path.iterdir()) == before
    assert main([str(ours), str(cut), "--overwrite"]) == 0
    load_network(cut)
