"""Checkpoints in exactly the public framework's layout, in both of torch's formats."""

from __future__ import annotations

import math

import pytest
import torch
from golden import fill_by_rule
from public_files import FORMATS, public_content, public_framework, write_public

from ltr.admin.checkpoint import load_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.admin.public_checkpoint import load_public_checkpoint
from ltr.admin.public_constructor import from_public, to_public
from ltr.errors import CheckpointError
from ltr.models.bbreg import atom
from ltr.models.tracking import dimpnet

DIMP = "ltr.models.tracking.dimpnet"
# What the public recipes of DiMP-50 and PrDiMP-18 give their constructors (docs/reference.md, section 2).
DIMP50 = {
    "filter_size": 4,
    "backbone_pretrained": True,
    "optim_iter": 5,
    "clf_feat_norm": True,
    "clf_feat_blocks": 0,
    "final_conv": True,
    "out_feature_dim": 512,
    "optim_init_step": 0.9,
    "optim_init_reg": 0.1,
    "init_gauss_sigma": 0.25 / 5 * 18,
    "num_dist_bins": 100,
    "bin_displacement": 0.1,
    "mask_init_factor": 3.0,
    "target_mask_act": "sigmoid",
    "score_act": "relu",
    "frozen_backbone_layers": ["conv1", "bn1", "layer1", "layer2"],
}
PRDIMP18 = {
    "filter_size": 4,
    "backbone_pretrained": True,
    "optim_iter": 5,
    "clf_feat_norm": True,
    "clf_feat_blocks": 0,
    "final_conv": True,
    "out_feature_dim": 256,
    "optim_init_step": 1.0,
    "optim_init_reg": 0.05,
    "optim_min_reg": 0.05,
    "gauss_sigma": 0.25 / 5 * 18,
    "alpha_eps": 0.05,
    "normalize_label": True,
    "init_initializer": "zero",
}
SMALL = {"w": torch.arange(6.0).reshape(2, 3)}


def fields(name, *args, module=DIMP, **kwds):
    return {"fun_name": name, "fun_module": module, "args": args, "kwds": kwds}


@pytest.fixture(scope="module")
def atom_net():
    return fill_by_rule(atom.atom_resnet18())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_public_checkpoint_loads_bit_for_bit(tmp_path, kind, atom_net):
    path = tmp_path / "atom_default.pth"
    write_public(path, kind, atom_net.state_dict(), "atom_resnet18", "ltr.models.bbreg.atom", backbone_pretrained=True)
    loaded = load_network(path)
    assert isinstance(loaded, atom.AtomNet) and not loaded.training
    assert list(loaded.state_dict()) == list(atom_net.state_dict())
    for (name, ours), theirs in zip(atom_net.state_dict().items(), loaded.state_dict().values()):
        assert torch.equal(ours, theirs), name


def test_a_dimp_network_with_all_public_arguments(tmp_path):
    net = fill_by_rule(dimpnet.dimpnet50())
    path = write_public(tmp_path / "dimp50.pth", "zip", net.state_dict(), "dimpnet50", DIMP, **DIMP50)
    loaded = load_network(path)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in net.state_dict().items())


def test_a_prdimp_network_with_all_public_arguments():
    net = from_public(fields("klcedimpnet18", **PRDIMP18)).build(backbone_pretrained=False)
    assert not net.classifier.filter_initializer.filter_conv.weight.any()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_else_a_checkpoint_says_is_plain_data(tmp_path, kind):
    path = write_public(tmp_path / "x.pth.tar", kind, SMALL, "dimpnet18", DIMP, 4, 5, optim_init_step=0.9)
    checkpoint = load_public_checkpoint(path)
    assert checkpoint.constructor == NetworkConstructor(
        "dimpnet18", {"filter_size": 4, "optim_iter": 5, "optim_init_step": 0.9}
    )
    assert torch.equal(checkpoint.state_dict["w"], SMALL["w"])
    assert (checkpoint.net_type, checkpoint.actor_type, checkpoint.epoch) == ("DiMPnet", "DiMPActor", 50)
    assert checkpoint.settings["normalize_mean"] == [0.485, 0.456, 0.406]
    assert checkpoint.settings["env"] == {"workspace_dir": "/home/someone/work", "lasot_dir": ""}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.uint8, torch.bool])
@pytest.mark.parametrize("kind", FORMATS)
def test_dtypes_and_strides(tmp_path, kind, dtype):
    whole = torch.arange(24).reshape(4, 6).to(dtype)
    net = {"whole": whole, "part": whole[1:3, 2:], "transposed": whole.t(), "scalar": whole[2, 3], "none": whole[:0]}
    path = write_public(tmp_path / "x.pth", kind, net, "dimpnet18", DIMP)
    for name, tensor in load_public_checkpoint(path).state_dict.items():
        assert tensor.dtype == dtype and torch.equal(tensor, net[name]), name


def test_a_network_without_batch_counters_loads(tmp_path, atom_net):
    """As torch before 0.4.1 saved them."""
    old = {name: value for name, value in atom_net.state_dict().items() if not name.endswith("num_batches_tracked")}
    path = write_public(tmp_path / "old.pth", "legacy", old, "atom_resnet18", "ltr.models.bbreg.atom")
    load_network(path)


def test_weights_that_do_not_fit_say_which(tmp_path, atom_net):
    state = dict(atom_net.state_dict())
    state["bb_regressor.iou_predictor.weight"] = torch.zeros(1, 7)
    del state["feature_extractor.conv1.weight"]
    state["extra"] = torch.zeros(1)
    path = write_public(tmp_path / "x.pth", "zip", state, "atom_resnet18", "ltr.models.bbreg.atom")
    with pytest.raises(CheckpointError, match=r"1 tensors are missing.*conv1.*unknown.*'extra'.*\[1, 7\] instead of"):
        load_network(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": None}, "'net' is not a state dict"),
        ({"net": {"w": 1.0}}, "'net' is not a state dict"),
        ({"constructor": None}, "does not say how to build its network"),
        ({"constructor": {"fun_name": "dimpnet18"}}, "does not say how to build its network"),
        ({"format": "ebm-tracking-1"}, "training checkpoint of this project, for resuming"),
    ],
)
def test_other_layouts_are_refused(tmp_path, changes, message):
    path = tmp_path / "x.pth"
    with public_framework() as fakes:
        torch.save({**public_content(fakes, SMALL, "dimpnet18", DIMP), **changes}, path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_public_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_bare_state_dict_and_a_missing_file(tmp_path):
    torch.save(SMALL, tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match="holds no network under 'net'"):
        load_network(tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        load_public_checkpoint(tmp_path / "absent.pth")


def test_a_constructor_written_for_the_public_framework_names_every_argument():
    public = to_public(NetworkConstructor("dimpnet50", {"init_gauss_sigma": 0.9, "backbone_pretrained": True}))
    assert (public.fun_name, public.fun_module, public.args) == ("dimpnet50", DIMP, ())
    assert set(public.kwds) == set(DIMP50) - {"frozen_backbone_layers"}
    assert public.kwds["backbone_pretrained"] is False
    assert from_public(vars(public)).arguments == public.kwds
    with pytest.raises(ValueError, match="public framework has no network 'dimpnet_lite0'"):
        to_public(NetworkConstructor("dimpnet_lite0"))


def test_arguments_that_stand_for_what_is_built_in():
    given = fields("dimpnet50", classification_layer="layer3", detach_length=math.inf, iou_input_dim=[256, 256])
    assert from_public(given) == NetworkConstructor("dimpnet50", {})
    with pytest.raises(ValueError, match="classification_layer='layer2'; only 'layer3' is built here"):
        from_public(fields("dimpnet50", classification_layer="layer2"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (fields("dimpnet50", optim_itr=5), "unknown argument of dimpnet50 'optim_itr'; did you mean 'optim_iter'"),
        (
            fields("dimpnet50", 4, 5, 0.9, 0.1, "layer3"),
            "only filter_size, optim_iter, .* may be given",
        ),
        (fields("atom_resnet18", True, module="ltr.models.bbreg.atom"), "all must be named"),
        (fields("dimpnet50", filter_size={"a": 1}), "argument filter_size is a dict"),
        (fields("dimpnet50", frozen_backbone_layers=[[1]]), "argument frozen_backbone_layers is a list"),
        ({**fields("dimpnet50"), "kwds": None}, "arguments are not a list and a dict"),
        ({}, "names no function"),
    ],
)
def test_constructor_arguments_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        from_public(given)


@pytest.mark.parametrize(
    "arguments",
    [{"out_feature_dim": 10**9}, {"clf_feat_blocks": 10**9}, {"filter_size": -(10**9)}, {"init_gauss_sigma": math.nan}],
)
def test_a_constructor_cannot_ask_for_a_giant(tmp_path, arguments):
    path = write_public(tmp_path / "x.pth", "zip", SMALL, "dimpnet50", DIMP, **arguments)
    with pytest.raises(CheckpointError, match=f"{next(iter(arguments))} may be .* at most"):
        load_network(path)


@pytest.mark.parametrize("arguments", [{"out_feature_dim": 0}, {"optim_init_step": 0.0}, {"score_act": 3.5}])
def test_arguments_that_make_no_network(tmp_path, arguments):
    path = write_public(tmp_path / "x.pth", "zip", SMALL, "dimpnet18", DIMP, **arguments)
    with pytest.raises(CheckpointError):
        load_network(path)
